"""Which instances count as lost, since when, and how soon a successor may be made. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from schemas.events import InstanceStatusChanged
from schemas.instances import Instance
from schemas.nodes import Node
from schemas.statuses import InstanceStatus, Reason

DELAY_SECONDS_FIRST = 1.0
DELAY_SECONDS_MAX = 60.0
DELAY_SPREAD = 0.25  # A delay is up to this share longer, so that nodes do not restart in step.
CALM_SECONDS = 30.0  # Who was healthy for so long did not fail "in a row".

Statuses = Mapping[str, InstanceStatusChanged]

START_FAULTS = frozenset(
    {
        Reason.LOAD_FAILED,
        Reason.CHECKPOINT_MISSING,
        Reason.CHECKPOINT_DAMAGED,
        Reason.PYTHON_MISMATCH,
        Reason.PACKAGE_MISSING,
        Reason.PACKAGE_MISMATCH,
        Reason.INSTANCE_TYPE_UNKNOWN,
        Reason.PROVIDER_FAILED,
        Reason.START_TIMEOUT,
    }
)


class FailureKind(Enum):
    EXITED = "exited"  # Its process has ended.
    START = "start"  # It could not get ready; trying again at once would say the same.
    SILENT = "silent"  # It does not answer; perhaps the fault is ours, so the brake counts it.
    TROUBLED = "troubled"  # It answers, and has been in trouble for too long.


@dataclass(frozen=True)
class Failure:
    """An instance is lost: it shall have a successor."""

    kind: FailureKind
    at: datetime
    is_after_calm: bool = (
        False  # It had served long enough to be replaced as if for the first time.
    )


def failure_of(
    instance: Instance, status: InstanceStatusChanged | None, node: Node, now: datetime
) -> Failure | None:
    """Why the instance is lost, or None while it may yet serve.

    One that the provider refused is not lost: it is tried again in place.
    """
    if instance.exited is not None:
        at = instance.exited.at
        return Failure(FailureKind.EXITED, at, _had_calm(status, at))
    if instance.handle is None or status is None or status.status is not InstanceStatus.UNHEALTHY:
        return None
    changed_at = _changed_at(status)
    if instance.created_at is not None and changed_at < instance.created_at:
        return None  # It speaks of a refusal before this VM was made.
    if status.reason in START_FAULTS:
        return Failure(FailureKind.START, changed_at)
    if now < lost_at(status, node):
        return None
    is_silent = status.reason is Reason.PROBES_FAILED
    kind = FailureKind.SILENT if is_silent else FailureKind.TROUBLED
    return Failure(kind, status.since, _had_calm(status, status.since))


def lost_at(status: InstanceStatusChanged, node: Node) -> datetime:
    """When an instance in trouble has been so for too long."""
    return status.since + timedelta(seconds=node.spec.replace_after_seconds)


def due_at(failure: Failure, node: Node) -> datetime:
    """When its successor may be made: an exit at once the first time, then growing delays.

    Of every instance the first failure is free, so a host that lost all of them is back at once.
    """
    if failure.is_after_calm:
        return failure.at
    rounds = node.failures_in_a_row // max(1, node.instances_wanted)
    is_start = failure.kind is FailureKind.START
    delay = restart_delay(node, rounds) if rounds or is_start else timedelta()
    due = failure.at + delay
    return max(due, node.create_not_before) if node.create_not_before else due


def restart_delay(node: Node, rounds: int) -> timedelta:
    """Doubling with every round of failures, spread by what differs between nodes."""
    share = (node.uid.int >> (rounds % 8)) % 256 / 256
    seconds = min(DELAY_SECONDS_FIRST * 2 ** min(rounds, 16), DELAY_SECONDS_MAX)
    return timedelta(seconds=seconds * (1 + DELAY_SPREAD * share))


def after_replacing(node: Node, count: int, now: datetime) -> Node:
    """The node that remembers so many more failures."""
    failures = node.failures_in_a_row + count
    rounds = failures // max(1, node.instances_wanted)
    not_before = now + restart_delay(node, rounds) if rounds else node.create_not_before
    return node.model_copy(update={"failures_in_a_row": failures, "create_not_before": not_before})


def _had_calm(status: InstanceStatusChanged | None, failed_at: datetime) -> bool:
    """Whether it had been healthy without a break before it failed."""
    steps = () if status is None else status.transitions
    healthy_at = [step.at for step in steps if step.status == InstanceStatus.HEALTHY.value]
    return bool(healthy_at) and failed_at - healthy_at[-1] >= timedelta(seconds=CALM_SECONDS)


def _changed_at(status: InstanceStatusChanged) -> datetime:
    """When the reason was last another: a status may stay while its reason changes."""
    return status.transitions[-1].at if status.transitions else status.since
