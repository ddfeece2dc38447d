"""Statuses of instances and nodes, why they changed, and the two tables of legal moves."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict

from schemas.errors import IllegalMove

TRANSITIONS_MAX = 20


class InstanceStatus(str, Enum):
    """Where one instance is. *Gone* is no status: it is a tombstone."""

    UNDEFINED = "UNDEFINED"  # Wanted; there is no VM yet.
    CREATED = "CREATED"  # The VM exists.
    STARTED = "STARTED"  # There is contact with the VM.
    PREPARING = "PREPARING"  # Loading the checkpoint, getting ready.
    HEALTHY = "HEALTHY"  # In balancing.
    UNHEALTHY = "UNHEALTHY"  # In trouble; out of balancing.
    DELETING = "DELETING"  # Being removed.


class NodeStatus(str, Enum):
    """What a node's instances add up to."""

    CREATED = "CREATED"  # Just made: until first healthy or first in trouble.
    HEALTHY = "HEALTHY"  # The healthy instances reach the minimum.
    UNHEALTHY = "UNHEALTHY"  # Fewer than the minimum.
    SUSPENDED = (
        "SUSPENDED"  # Stopped by its owner, spec kept; resumed: until healthy or in trouble.
    )
    DELETING = "DELETING"  # Being removed.


_I = InstanceStatus
INSTANCE_MOVES: Mapping[InstanceStatus, frozenset[InstanceStatus]] = {
    _I.UNDEFINED: frozenset({_I.CREATED, _I.UNHEALTHY, _I.DELETING}),
    _I.CREATED: frozenset({_I.STARTED, _I.UNHEALTHY, _I.DELETING}),
    _I.STARTED: frozenset({_I.PREPARING, _I.UNHEALTHY, _I.DELETING}),
    _I.PREPARING: frozenset({_I.HEALTHY, _I.UNHEALTHY, _I.DELETING}),
    _I.HEALTHY: frozenset({_I.UNHEALTHY, _I.DELETING}),
    _I.UNHEALTHY: frozenset({_I.HEALTHY, _I.DELETING}),
    _I.DELETING: frozenset(),
}

_N = NodeStatus
NODE_MOVES: Mapping[NodeStatus, frozenset[NodeStatus]] = {
    _N.CREATED: frozenset({_N.HEALTHY, _N.UNHEALTHY, _N.SUSPENDED, _N.DELETING}),
    _N.HEALTHY: frozenset({_N.UNHEALTHY, _N.SUSPENDED, _N.DELETING}),
    _N.UNHEALTHY: frozenset({_N.HEALTHY, _N.SUSPENDED, _N.DELETING}),
    _N.SUSPENDED: frozenset({_N.HEALTHY, _N.UNHEALTHY, _N.DELETING}),
    _N.DELETING: frozenset(),
}

# The way of an instance that starts well; a fast start passes it in order, skipping nothing.
START_PATH = (_I.UNDEFINED, _I.CREATED, _I.STARTED, _I.PREPARING, _I.HEALTHY)

_Status = TypeVar("_Status", InstanceStatus, NodeStatus)


def move(moves: Mapping[_Status, frozenset[_Status]], now: _Status, wanted: _Status) -> _Status:
    """Accept a change or raise IllegalMove. Staying is always legal and changes nothing."""
    if wanted is not now and wanted not in moves[now]:
        raise IllegalMove(now.value, wanted.value)
    return wanted


class Reason(str, Enum):
    """Why a status is what it is, for programs. `SENTENCES` says it to people."""

    # Instances, on their way.
    WANTED = "WANTED"
    NO_CAPACITY = "NO_CAPACITY"
    FOREIGN_HOST = "FOREIGN_HOST"
    VM_CREATED = "VM_CREATED"
    CONTACT = "CONTACT"
    LOADING = "LOADING"
    READY = "READY"
    # Instances, in trouble before they serve.
    CHECKPOINT_MISSING = "CHECKPOINT_MISSING"
    CHECKPOINT_DAMAGED = "CHECKPOINT_DAMAGED"
    PYTHON_MISMATCH = "PYTHON_MISMATCH"
    PACKAGE_MISSING = "PACKAGE_MISSING"
    PACKAGE_MISMATCH = "PACKAGE_MISMATCH"
    INSTANCE_TYPE_UNKNOWN = "INSTANCE_TYPE_UNKNOWN"
    PROVIDER_FAILED = "PROVIDER_FAILED"
    LOAD_FAILED = "LOAD_FAILED"
    START_TIMEOUT = "START_TIMEOUT"
    # Instances, in trouble while they serve, and back.
    PROCESS_EXITED = "PROCESS_EXITED"
    PROBES_FAILED = "PROBES_FAILED"
    PROBES_PASSED = "PROBES_PASSED"
    WRONG_IDENTITY = "WRONG_IDENTITY"
    DEADLINE_KILLED = "DEADLINE_KILLED"
    INTERPRETER_CRASHED = "INTERPRETER_CRASHED"
    STATE_LOST = "STATE_LOST"
    # Instances, on their way out.
    DELETE_REQUESTED = "DELETE_REQUESTED"
    SCALED_DOWN = "SCALED_DOWN"
    OUT_OF_DATE = "OUT_OF_DATE"
    REPLACED = "REPLACED"
    # Nodes.
    DEPLOYED = "DEPLOYED"
    ENOUGH_HEALTHY = "ENOUGH_HEALTHY"
    TOO_FEW_HEALTHY = "TOO_FEW_HEALTHY"
    SUSPENDED_BY_OWNER = "SUSPENDED_BY_OWNER"  # Also of its instances, on their way out.
    RESUMED = "RESUMED"


SENTENCES: Mapping[Reason, str] = {
    Reason.WANTED: "The instance is wanted; the provider has not made its VM yet.",
    Reason.NO_CAPACITY: "The provider has no room for another instance now; it is tried again.",
    Reason.FOREIGN_HOST: "The instance lies on another host, which this provisioner cannot reach.",
    Reason.VM_CREATED: "The VM of the instance exists; there is no contact with it yet.",
    Reason.CONTACT: "The agent of the instance answers; the checkpoint is untouched.",
    Reason.LOADING: "The instance loads its checkpoint.",
    Reason.READY: "The instance is ready and takes requests.",
    Reason.CHECKPOINT_MISSING: "The checkpoint, or a part of it, is not in the store.",
    Reason.CHECKPOINT_DAMAGED: "A part of the checkpoint is not what its digest says.",
    Reason.PYTHON_MISMATCH: "The checkpoint was pinned by another Python than the node's.",
    Reason.PACKAGE_MISSING: "A package that the checkpoint needs is not installed.",
    Reason.PACKAGE_MISMATCH: "A package is installed in another version than was pinned.",
    Reason.INSTANCE_TYPE_UNKNOWN: "The node's instance type is no longer offered here.",
    Reason.PROVIDER_FAILED: "The provider could not make the VM.",
    Reason.LOAD_FAILED: "Loading the checkpoint or the cell failed.",
    Reason.START_TIMEOUT: "The instance was not ready within its start timeout.",
    Reason.PROCESS_EXITED: "The process of the instance has ended.",
    Reason.PROBES_FAILED: "The instance did not answer several probes in a row.",
    Reason.PROBES_PASSED: "The instance answers its probes again.",
    Reason.WRONG_IDENTITY: "Another instance answers at the address of this one.",
    Reason.DEADLINE_KILLED: "A request ran past its deadline and its interpreter was killed.",
    Reason.INTERPRETER_CRASHED: "The interpreter of the instance crashed.",
    Reason.STATE_LOST: "A new interpreter was forked from the checkpoint; changed state is lost.",
    Reason.DELETE_REQUESTED: "The node is being deleted.",
    Reason.SCALED_DOWN: "The node needs fewer instances now.",
    Reason.OUT_OF_DATE: "A newer revision of the node has taken over.",
    Reason.REPLACED: "The instance was in trouble and has a successor.",
    Reason.DEPLOYED: "The node was just deployed; none of its instances is healthy yet.",
    Reason.ENOUGH_HEALTHY: "The healthy instances reach the node's minimum.",
    Reason.TOO_FEW_HEALTHY: "Fewer instances are healthy than the node's minimum.",
    Reason.SUSPENDED_BY_OWNER: "The node was suspended by its owner; its spec is kept.",
    Reason.RESUMED: "The node was resumed; its instances start, and none is healthy yet.",
}


class Transition(BaseModel):
    """One step in the history of a status."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    status: str
    reason: Reason
    at: AwareDatetime
    evidence: dict[str, str] = {}


def remember(history: tuple[Transition, ...], transition: Transition) -> tuple[Transition, ...]:
    """The history with one more step, cut to the last TRANSITIONS_MAX."""
    return (*history, transition)[-TRANSITIONS_MAX:]
