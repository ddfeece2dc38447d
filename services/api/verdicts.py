"""Whether what is waited for is there, is still to come, or never will be. Pure."""

from __future__ import annotations

from enum import Enum
from uuid import UUID

from schemas.events import CommandAccepted
from schemas.statuses import InstanceStatus, NodeStatus, Reason
from schemas.views import InstanceView, NodeView
from services.api.problems import ApiProblem


class Goal(str, Enum):
    """What may be waited for."""

    ACCEPTED = "ACCEPTED"
    HEALTHY = "HEALTHY"
    SUSPENDED = "SUSPENDED"
    GONE = "GONE"


# An instance with such a fault fails again, however often it is made anew.
HOPELESS = frozenset(
    {
        Reason.CHECKPOINT_MISSING,
        Reason.CHECKPOINT_DAMAGED,
        Reason.PYTHON_MISMATCH,
        Reason.PACKAGE_MISSING,
        Reason.PACKAGE_MISMATCH,
        Reason.INSTANCE_TYPE_UNKNOWN,
        Reason.LOAD_FAILED,
    }
)


def uid_made_by(accepted: CommandAccepted) -> UUID | None:
    """Of the node that the command has made; what is seen under its name may be one that leaves."""
    is_first = accepted.changed and accepted.generation == 1
    return accepted.command if is_first and accepted.command_kind == "DeployNode" else None


def is_there(view: NodeView | None, goal: Goal, generation: int) -> bool:
    """Raises ApiProblem where it cannot come any more."""
    if view is None or view.generation < generation:
        return False
    if goal is Goal.ACCEPTED:
        return True
    _check(view, goal)
    status = view.status
    if status is None or status.generation < generation:
        return False
    if goal is Goal.SUSPENDED:
        return status.status is NodeStatus.SUSPENDED
    is_healthy = status.status is NodeStatus.HEALTHY and status.healthy_of_revision >= status.min
    return is_healthy and status.healthy == status.healthy_of_revision  # No older one answers.


def state_of(view: NodeView | None) -> str:
    """For a person who waits no longer."""
    if view is None:
        return "the node is not there"
    if view.status is None:
        return f"generation {view.generation} was not looked at yet"
    status = view.status
    behind = "" if status.generation == view.generation else f" of generation {status.generation}"
    return f"the node is {status.status.value}{behind} ({status.reason.value}): {status.sentence}"


def with_command(problem: ApiProblem, command: UUID) -> ApiProblem:
    problem.command = command
    return problem


def _check(view: NodeView, goal: Goal) -> None:
    status = view.status
    if status is not None and status.status is NodeStatus.DELETING:
        raise ApiProblem(
            "node-deleting", status.sentence, remedy="wait until it is gone, then deploy it again"
        )
    if goal is not Goal.HEALTHY:
        return
    is_of_now = status is not None and status.generation >= view.generation
    if status is not None and is_of_now and status.reason is Reason.SUSPENDED_BY_OWNER:
        raise ApiProblem("node-unhealthy", status.sentence, remedy="resume the node")
    for one in view.instances:
        if _is_hopeless(one, view.revision):
            raise _unhealthy(one)


def _is_hopeless(instance: InstanceView, revision: str) -> bool:
    is_ours = instance.revision == revision and instance.status is InstanceStatus.UNHEALTHY
    return is_ours and instance.reason in HOPELESS


def _unhealthy(instance: InstanceView) -> ApiProblem:
    told = "; ".join(f"{name}: {value}" for name, value in instance.evidence.items())
    return ApiProblem(
        "node-unhealthy",
        f"{instance.sentence} {told}".strip(),
        remedy="mend what the evidence names and deploy again",
        reason=instance.reason.value,
        instance=instance.instance,
        evidence=dict(instance.evidence),
    )
