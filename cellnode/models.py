"""What the HTTP api answers, as frozen dataclasses.

Written by `make models` from the api's OpenAPI document; edit `schemas/views.py`, not this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal

from cellnode.documents import Model, Read, list_of, maybe, time_of

# Where one instance is. *Gone* is no status: it is a tombstone.
InstanceStatus = Literal[
    "UNDEFINED", "CREATED", "STARTED", "PREPARING", "HEALTHY", "UNHEALTHY", "DELETING"
]
# What a node's instances add up to.
NodeStatus = Literal["CREATED", "HEALTHY", "UNHEALTHY", "SUSPENDED", "DELETING"]
# Why a status is what it is, for programs. `SENTENCES` says it to people.
Reason = Literal[
    "WANTED",
    "NO_CAPACITY",
    "FOREIGN_HOST",
    "VM_CREATED",
    "CONTACT",
    "LOADING",
    "READY",
    "CHECKPOINT_MISSING",
    "CHECKPOINT_DAMAGED",
    "PYTHON_MISMATCH",
    "PACKAGE_MISSING",
    "PACKAGE_MISMATCH",
    "INSTANCE_TYPE_UNKNOWN",
    "PROVIDER_FAILED",
    "LOAD_FAILED",
    "START_TIMEOUT",
    "PROCESS_EXITED",
    "PROBES_FAILED",
    "PROBES_PASSED",
    "WRONG_IDENTITY",
    "DEADLINE_KILLED",
    "INTERPRETER_CRASHED",
    "STATE_LOST",
    "DELETE_REQUESTED",
    "SCALED_DOWN",
    "OUT_OF_DATE",
    "REPLACED",
    "DEPLOYED",
    "ENOUGH_HEALTHY",
    "TOO_FEW_HEALTHY",
    "SUSPENDED_BY_OWNER",
    "RESUMED",
]
# Why a command was rejected, for programs.
RefusalReason = Literal[
    "INVALID", "UNKNOWN_NODE", "STALE_GENERATION", "COMMAND_ID_REUSED", "DELETING", "NOT_BUILT"
]


@dataclass(frozen=True, kw_only=True)
class BlobView(Model):
    """A blob, whole (`received_bytes` = `bytes`) or on its way."""

    sha256: str
    bytes: int
    received_bytes: int


@dataclass(frozen=True, kw_only=True)
class CheckpointView(Model):
    """A checkpoint in the store; its manifest is read with GET /v1/checkpoints/{digest}."""

    _reads: ClassVar[Mapping[str, Read]] = {"at": time_of, "variables": tuple, "pins": tuple}

    digest: str
    # When the store got it.
    at: datetime
    # Of all its blobs.
    bytes: int
    variables: tuple[str, ...] = ()
    python: str = ""
    # `project/name` of the pins that name it now.
    pins: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CheckpointPage(Model):
    """Checkpoints, the newest first."""

    _reads: ClassVar[Mapping[str, Read]] = {"checkpoints": list_of(CheckpointView.from_json)}

    checkpoints: tuple[CheckpointView, ...] = ()
    next: str | None = None


@dataclass(frozen=True, kw_only=True)
class CheckpointRemoved(Model):
    """What the removal of a checkpoint freed."""

    digest: str
    freed_bytes: int
    # Blobs that others use, or that somebody may be about to use.
    kept_bytes: int


@dataclass(frozen=True, kw_only=True)
class CommandView(Model):
    """A command, and what became of it."""

    _reads: ClassVar[Mapping[str, Read]] = {"at": time_of}

    id: str
    project: str
    node: str
    kind: str
    outcome: Literal["pending", "accepted", "rejected"]
    at: datetime
    # Of the node, once accepted.
    generation: int | None = None
    # False: the node was already as wanted.
    changed: bool | None = None
    reason: RefusalReason | None = None
    sentence: str = ""
    field: str | None = None
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class CommandPage(Model):
    """The latest outcomes, the newest first."""

    _reads: ClassVar[Mapping[str, Read]] = {"commands": list_of(CommandView.from_json)}

    commands: tuple[CommandView, ...] = ()
    next: str | None = None


@dataclass(frozen=True, kw_only=True)
class Cost(Model):
    """What the node costs while it is deployed, whether it is called or not."""

    instance_type: str
    units_per_hour_each: float
    # Of all wanted instances; 0 while suspended.
    units_per_hour: float


@dataclass(frozen=True, kw_only=True)
class InstanceTypeView(Model):
    """What an instance may use, and what an hour of it costs in units."""

    name: str
    cpu_count: int
    memory_bytes: int
    units_per_hour: float


@dataclass(frozen=True, kw_only=True)
class InstanceTypeList(Model):
    """The instance types that the operator offers."""

    _reads: ClassVar[Mapping[str, Read]] = {"instance_types": list_of(InstanceTypeView.from_json)}

    instance_types: tuple[InstanceTypeView, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Transition(Model):
    """One step in the history of a status."""

    _reads: ClassVar[Mapping[str, Read]] = {"at": time_of}

    status: str
    reason: Reason
    at: datetime
    evidence: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class InstanceView(Model):
    """One instance of a node, as it is observed."""

    _reads: ClassVar[Mapping[str, Read]] = {
        "since": time_of,
        "transitions": list_of(Transition.from_json),
    }

    reason: Reason
    sentence: str
    evidence: Mapping[str, str] = field(default_factory=dict)
    since: datetime
    transitions: tuple[Transition, ...] = ()
    instance: str
    revision: str
    status: InstanceStatus


@dataclass(frozen=True, kw_only=True)
class Instances(Model):
    """How many: `min` healthy ones make the node HEALTHY, `want` are kept."""

    min: int = 1
    want: int = 1


@dataclass(frozen=True, kw_only=True)
class LogLine(Model):
    """One line that an instance wrote."""

    instance: str
    line: str


@dataclass(frozen=True, kw_only=True)
class MissingBlob(Model):
    """A blob that the store lacks, and how much of it has already arrived."""

    sha256: str
    bytes: int
    received_bytes: int


@dataclass(frozen=True, kw_only=True)
class MissingBlobs(Model):
    """Those of the asked blobs that the store lacks."""

    _reads: ClassVar[Mapping[str, Read]] = {"missing": list_of(MissingBlob.from_json)}

    missing: tuple[MissingBlob, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Probe(Model):
    """How an instance's health is asked for."""

    interval_seconds: float = 1.0
    timeout_seconds: float = 1.0
    # Failed probes in a row make it UNHEALTHY.
    fails: int = 3
    # Passed ones in a row bring it back.
    passes: int = 2


@dataclass(frozen=True, kw_only=True)
class Variable(Model):
    """One marked variable; without a schema, the checkpoint's type of that name is used."""

    name: str
    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class NodeSpec(Model):
    """What is wanted of a node; what is observed is never in here."""

    _reads: ClassVar[Mapping[str, Read]] = {
        "inputs": list_of(Variable.from_json),
        "outputs": list_of(Variable.from_json),
        "instances": Instances.from_json,
        "probe": Probe.from_json,
        "secrets": tuple,
    }

    # Over HTTP also the name of a pin, which becomes its digest of today.
    checkpoint: str
    # Python, once a request.
    cell: str
    # Set by each request; typed as in the checkpoint unless said here.
    inputs: tuple[Variable, ...] = ()
    # What answers it.
    outputs: tuple[Variable, ...] = ()
    instances: Instances = field(default_factory=lambda: Instances.from_json({"min": 1, "want": 1}))
    # Which there are is the operator's table.
    instance_type: str = "small"
    environment: str | Mapping[str, Any] = "here"
    # Seen by the next request, or thrown away.
    state: Literal["shared", "fresh"] = "shared"
    # A request may be executed twice: it is sent again after a failure.
    idempotent: bool = False
    # For one request.
    deadline_seconds: float = 60.0
    # Then it is in trouble.
    start_timeout_seconds: float = 120.0
    # Of being UNHEALTHY.
    replace_after_seconds: float = 10.0
    probe: Probe = field(
        default_factory=lambda: Probe.from_json(
            {"interval_seconds": 1.0, "timeout_seconds": 1.0, "fails": 3, "passes": 2}
        )
    )
    # Requests that may wait in a gateway.
    queue_max: int = 1000
    # Whether callers see the traceback of the cell.
    errors: Literal["full", "brief"] = "full"
    # Of the cell's process.
    env: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class NodeStatusView(Model):
    """A node, as it is observed; it may lag behind the generation that is wanted."""

    _reads: ClassVar[Mapping[str, Read]] = {
        "since": time_of,
        "transitions": list_of(Transition.from_json),
    }

    reason: Reason
    sentence: str
    evidence: Mapping[str, str] = field(default_factory=dict)
    since: datetime
    transitions: tuple[Transition, ...] = ()
    status: NodeStatus
    # The generation that was looked at.
    generation: int
    min: int
    want: int
    healthy: int
    healthy_of_revision: int


@dataclass(frozen=True, kw_only=True)
class NodeView(Model):
    """What is wanted of a node (`spec`) and what is observed (`status`, `instances`)."""

    _reads: ClassVar[Mapping[str, Read]] = {
        "created_at": time_of,
        "generation_at": time_of,
        "spec": NodeSpec.from_json,
        "status": maybe(NodeStatusView.from_json),
        "instances": list_of(InstanceView.from_json),
        "cost": Cost.from_json,
    }

    project: str
    node: str
    uid: str
    generation: int
    revision: str
    created_at: datetime
    generation_at: datetime
    actor: str = ""
    spec: NodeSpec
    # None for the moment until it is first looked at.
    status: NodeStatusView | None = None
    instances: tuple[InstanceView, ...] = ()
    cost: Cost
    # Where it is called, below the origin: /v1/nodes/digits:execute.
    execute_path: str


@dataclass(frozen=True, kw_only=True)
class NodePage(Model):
    """Nodes by name. `next`, where there is more, is the next page's `after`."""

    _reads: ClassVar[Mapping[str, Read]] = {"nodes": list_of(NodeView.from_json)}

    nodes: tuple[NodeView, ...] = ()
    next: str | None = None


@dataclass(frozen=True, kw_only=True)
class PinView(Model):
    """A pin: name -> checkpoint, who, when, from which notebook, and what it named before."""

    _reads: ClassVar[Mapping[str, Read]] = {"at": time_of}

    project: str
    name: str
    digest: str
    at: datetime
    by: str = ""
    notebook: str | None = None
    parent: str | None = None


@dataclass(frozen=True, kw_only=True)
class PinPage(Model):
    """Pins by name."""

    _reads: ClassVar[Mapping[str, Read]] = {"pins": list_of(PinView.from_json)}

    pins: tuple[PinView, ...] = ()
    next: str | None = None


@dataclass(frozen=True, kw_only=True)
class UsageItem(Model):
    """One line: what it sums up is what `group_by` asked for."""

    _reads: ClassVar[Mapping[str, Read]] = {"hour": maybe(time_of)}

    # For which instances lived.
    seconds: float
    # By the price list, without the seconds that have no price.
    units: float
    # Of types that the list does not hold.
    unpriced_seconds: float = 0.0
    node: str | None = None
    instance_type: str | None = None
    # Its beginning, in UTC.
    hour: datetime | None = None
    instance: str | None = None


@dataclass(frozen=True, kw_only=True)
class UsagePrice(Model):
    """A line of the price list: an instance type that was used."""

    instance_type: str
    # None: the operator's table does not hold it any more.
    units_per_hour: float | None = None
    # Used of it in this time.
    seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class UsageSum(Model):
    """Seconds, and what they cost."""

    # For which instances lived.
    seconds: float
    # By the price list, without the seconds that have no price.
    units: float
    # Of types that the list does not hold.
    unpriced_seconds: float = 0.0


@dataclass(frozen=True, kw_only=True)
class UsagePage(Model):
    """Metered seconds of a time, in lines, with their sum and the price list that was used."""

    _reads: ClassVar[Mapping[str, Read]] = {
        "begins_at": time_of,
        "ends_at": time_of,
        "items": list_of(UsageItem.from_json),
        "total": UsageSum.from_json,
        "prices": list_of(UsagePrice.from_json),
        "told_at": maybe(time_of),
    }

    # A full hour, in UTC.
    begins_at: datetime
    # A full hour; what came after it is not in here.
    ends_at: datetime
    group_by: Literal["node", "instance_type", "hour", "instance"]
    items: tuple[UsageItem, ...] = ()
    # Of all lines, not of this page alone.
    total: UsageSum
    prices: tuple[UsagePrice, ...] = ()
    # When anything was last said of this project's usage.
    told_at: datetime | None = None
    next: str | None = None
