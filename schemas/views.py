"""What the HTTP api takes and answers: the resources of `/v1`, and nothing of how they are kept."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
)

from schemas.checkpoints import Blob
from schemas.errors import RefusalReason
from schemas.ids import NAME_PATTERN, Digest, InstanceId, NodeName, ProjectName
from schemas.json_schemas import fault_of
from schemas.signatures import Variable
from schemas.specs import INSTANCES_MAX, NodeSpec
from schemas.statuses import InstanceStatus, NodeStatus, Reason, Transition

PAGE_ITEMS_MAX = 1000
PAGE_ITEMS = 100
MISSING_BLOBS_MAX = 10_000
NOTE_CHARACTERS_MAX = 1024
WAIT_SECONDS = 60.0
WAIT_SECONDS_MAX = 3600.0
LOG_LINES_MAX = 10_000
LOG_LINES = 200

# A digest, or the name of a pin: the api turns it into a digest before it publishes.
CheckpointReference = Annotated[
    str, StringConstraints(pattern=rf"^[0-9a-f]{{64}}$|{NAME_PATTERN}", max_length=64)
]


class _Body(BaseModel):
    """What is sent to us: unknown fields are refused, by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class _View(BaseModel):
    """What we answer: a reader keeps working when fields are added."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class NodeWish(NodeSpec):
    """A NodeSpec whose checkpoint may also be the name of a pin."""

    checkpoint: CheckpointReference

    @field_validator("inputs", "outputs")
    @classmethod
    def _can_be_checked(cls, variables: tuple[Variable, ...]) -> tuple[Variable, ...]:
        """On the bus such a node is accepted, and its instances say why they cannot start."""
        for one in variables:
            fault = None if one.json_schema is None else fault_of(one.json_schema)
            if fault is not None:
                raise ValueError(f"the schema of {one.name} cannot be checked: {fault}")
        return variables


class Scaling(_Body):
    """How many instances are wanted; `min` absent: kept, at most `want`."""

    want: int = Field(ge=1, le=INSTANCES_MAX)
    min: int | None = Field(default=None, ge=1, le=INSTANCES_MAX)


class Cost(_View):
    """What the node costs while it is deployed, whether it is called or not."""

    instance_type: str
    units_per_hour_each: float
    units_per_hour: float  # Of all wanted instances; 0 while suspended.


class StatusView(_View):
    """A status that answers "why?" by itself."""

    reason: Reason
    sentence: str
    evidence: dict[str, str] = Field(default_factory=dict)
    since: AwareDatetime
    transitions: tuple[Transition, ...] = ()


class InstanceView(StatusView):
    """One instance of a node, as it is observed."""

    instance: InstanceId
    revision: Digest
    status: InstanceStatus


class NodeStatusView(StatusView):
    """A node, as it is observed; it may lag behind the generation that is wanted."""

    status: NodeStatus
    generation: int = Field(ge=1)  # The generation that was looked at.
    min: int
    want: int
    healthy: int = Field(ge=0)
    healthy_of_revision: int = Field(ge=0)


class NodeView(_View):
    """What is wanted of a node (`spec`) and what is observed (`status`, `instances`)."""

    project: ProjectName
    node: NodeName
    uid: UUID
    generation: int = Field(ge=1)
    revision: Digest
    created_at: AwareDatetime
    generation_at: AwareDatetime
    actor: str = ""
    spec: NodeSpec
    status: NodeStatusView | None = None  # None for the moment until it is first looked at.
    instances: tuple[InstanceView, ...] = ()
    cost: Cost
    execute_path: str  # Where it is called, below the origin: /v1/nodes/digits:execute.


class NodePage(_View):
    """Nodes by name. `next`, where there is more, is the next page's `after`."""

    nodes: tuple[NodeView, ...] = ()
    next: str | None = None


class CommandView(_View):
    """A command, and what became of it."""

    id: UUID
    project: ProjectName
    node: NodeName
    kind: str
    outcome: Literal["pending", "accepted", "rejected"]
    at: AwareDatetime
    generation: int | None = None  # Of the node, once accepted.
    changed: bool | None = None  # False: the node was already as wanted.
    reason: RefusalReason | None = None
    sentence: str = ""
    field: str | None = None
    remedy: str = ""


class CommandPage(_View):
    """The latest outcomes, the newest first."""

    commands: tuple[CommandView, ...] = ()
    next: str | None = None


class BlobList(_Body):
    """Blobs that somebody is about to upload."""

    blobs: tuple[Blob, ...] = Field(max_length=MISSING_BLOBS_MAX)


class MissingBlob(_View):
    """A blob that the store lacks, and how much of it has already arrived."""

    sha256: Digest
    bytes: int = Field(ge=0)
    received_bytes: int = Field(ge=0)


class MissingBlobs(_View):
    """Those of the asked blobs that the store lacks."""

    missing: tuple[MissingBlob, ...] = ()


class BlobView(_View):
    """A blob, whole (`received_bytes` = `bytes`) or on its way."""

    sha256: Digest
    bytes: int = Field(ge=0)
    received_bytes: int = Field(ge=0)


class CheckpointView(_View):
    """A checkpoint in the store; its manifest is read with GET /v1/checkpoints/{digest}."""

    digest: Digest
    at: AwareDatetime  # When the store got it.
    bytes: int = Field(ge=0)  # Of all its blobs.
    variables: tuple[str, ...] = ()
    python: str = ""
    pins: tuple[str, ...] = ()  # `project/name` of the pins that name it now.


class CheckpointPage(_View):
    """Checkpoints, the newest first."""

    checkpoints: tuple[CheckpointView, ...] = ()
    next: str | None = None


class CheckpointRemoved(_View):
    """What the removal of a checkpoint freed."""

    digest: Digest
    freed_bytes: int = Field(ge=0)
    kept_bytes: int = Field(ge=0)  # Blobs that others use, or that somebody may be about to use.


class PinBody(_Body):
    """A name for a checkpoint."""

    digest: Digest
    by: str = Field(default="", max_length=256)
    notebook: str | None = Field(default=None, max_length=NOTE_CHARACTERS_MAX)


class PinView(_View):
    """A pin: name -> checkpoint, who, when, from which notebook, and what it named before."""

    project: ProjectName
    name: NodeName
    digest: Digest
    at: AwareDatetime
    by: str = ""
    notebook: str | None = None
    parent: Digest | None = None


class PinPage(_View):
    """Pins by name."""

    pins: tuple[PinView, ...] = ()
    next: str | None = None


class LogLine(_View):
    """One line that an instance wrote."""

    instance: InstanceId
    line: str


class InstanceTypeView(_View):
    """What an instance may use, and what an hour of it costs in units."""

    name: str
    cpu_count: int
    memory_bytes: int
    units_per_hour: float


class InstanceTypeList(_View):
    """The instance types that the operator offers."""

    instance_types: tuple[InstanceTypeView, ...] = ()


class Gone(_View):
    """An event: the key's history has ended. `instance` is absent when the node itself is gone."""

    kind: Literal["NodeGone", "InstanceGone"]
    project: ProjectName
    node: NodeName
    instance: InstanceId | None = None
    at: AwareDatetime  # When that was said.


class ProblemView(BaseModel):
    """An error answer: problem details (RFC 9457) with a code, and what mends it."""

    model_config = ConfigDict(frozen=True, extra="allow")

    type: str
    title: str
    status: int
    detail: str = ""
    code: str
    field: str | None = None  # The field of the request that is wrong.
    remedy: str | None = None  # What to do about it.
    request_id: str | None = None
    trace_id: str | None = None
    command: UUID | None = None  # Of a command that was rejected or is not over yet.
    traceback: str | None = None  # Of the cell, where the node's `errors` is `full`.
