"""What a node's instances add up to, as the public event: status, why, and which are in trouble."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from schemas.events import InstanceStatusChanged, NodeStatusChanged
from schemas.nodes import Node, node_status
from schemas.statuses import (
    NODE_MOVES,
    SENTENCES,
    InstanceStatus,
    NodeStatus,
    Reason,
    Transition,
    move,
    remember,
)

NAMED_MAX = 8  # Instances in trouble that a node's event names.

REASONS: Mapping[NodeStatus, Reason] = {
    NodeStatus.CREATED: Reason.DEPLOYED,
    NodeStatus.HEALTHY: Reason.ENOUGH_HEALTHY,
    NodeStatus.UNHEALTHY: Reason.TOO_FEW_HEALTHY,
    NodeStatus.SUSPENDED: Reason.SUSPENDED_BY_OWNER,
    NodeStatus.DELETING: Reason.DELETE_REQUESTED,
}


@dataclass(frozen=True)
class Count:
    """The instances of one node, counted in the ways that matter."""

    healthy: int = 0
    healthy_of_revision: int = 0
    counting: tuple[InstanceStatus, ...] = ()  # What `node_status` looks at.
    troubled: tuple[InstanceStatusChanged, ...] = ()
    by_status: Mapping[InstanceStatus, int] = field(default_factory=dict)
    present: int = 0  # Of the node, whatever they are.


def count(node: Node, events: Mapping[str, InstanceStatusChanged]) -> Count:
    """Healthy instances of older revisions still serve; their troubles are no longer the node's."""
    own = [event for event in events.values() if event.uid == node.uid]
    present = [event for event in own if event.revision == node.revision]
    healthy = [event for event in own if event.status is InstanceStatus.HEALTHY]
    older = [event for event in healthy if event.revision != node.revision]
    by_status: dict[InstanceStatus, int] = {}
    for event in present:
        by_status[event.status] = by_status.get(event.status, 0) + 1
    troubled = [event for event in present if event.status is InstanceStatus.UNHEALTHY]
    return Count(
        len(healthy),
        len(healthy) - len(older),
        tuple(event.status for event in (*present, *older)),
        tuple(sorted(troubled, key=lambda event: (event.since, event.instance))),
        by_status,
        len(own),
    )


def observe_node(
    node: Node,
    events: Mapping[str, InstanceStatusChanged],
    before: NodeStatusChanged | None,
    now: datetime,
) -> NodeStatusChanged | None:
    """The node's next event, without id and order, or None if nothing public has changed."""
    known = before if before is not None and before.uid == node.uid else None
    counted = count(node, events)
    status = _status(node, counted, known, now)
    after = _event(node, counted, status, now)
    if known is None:
        return after.model_copy(update={"transitions": (_transition(after),)})
    since = known.since if known.status is status else now
    history = known.transitions
    if known.status is not status:
        history = remember(history, _transition(after))
    after = after.model_copy(update={"since": since, "transitions": history})
    return None if _public(after) == _public(known) else after


def first_event(node: Node, now: datetime) -> NodeStatusChanged:
    """What every node begins with, also one that was healthy before it was looked at."""
    event = _event(node, Count(), NodeStatus.CREATED, now)
    since = min(now, node.created_at)
    step = _transition(event).model_copy(update={"at": since})
    return event.model_copy(update={"since": since, "transitions": (step,)})


def overdue_at(node: Node) -> datetime:
    """When a node that was just made, or resumed, ought to have had its first healthy instances."""
    return node.starting_at + timedelta(seconds=node.spec.start_timeout_seconds)


def _status(
    node: Node, counted: Count, known: NodeStatusChanged | None, now: datetime
) -> NodeStatus:
    before = known.status if known else NodeStatus.CREATED
    status = node_status(node, counted.counting, before, now >= overdue_at(node))
    return move(NODE_MOVES, before, status)


def _event(node: Node, counted: Count, status: NodeStatus, now: datetime) -> NodeStatusChanged:
    is_resumed = status is NodeStatus.SUSPENDED and not node.suspended
    reason = Reason.RESUMED if is_resumed else REASONS[status]
    return NodeStatusChanged(
        id=_UNSET,
        at=now,
        project=node.project,
        node=node.node,
        uid=node.uid,
        generation=node.generation,
        revision=node.revision,
        status=status,
        reason=reason,
        sentence=_sentence(node, counted, reason),
        evidence=_evidence(counted) if status is not NodeStatus.DELETING else {},
        since=now,
        min=node.spec.instances.min,
        want=node.spec.instances.want,
        healthy=counted.healthy,
        healthy_of_revision=counted.healthy_of_revision,
    )


_UNSET = UUID(int=0)  # The publisher fixes the id before the first send.


def _transition(event: NodeStatusChanged) -> Transition:
    return Transition(
        status=event.status.value, reason=event.reason, at=event.at, evidence=event.evidence
    )


def _public(event: NodeStatusChanged) -> dict[str, object]:
    return event.model_dump(exclude={"id", "at", "term", "seq"})


def _sentence(node: Node, counted: Count, reason: Reason) -> str:
    """The reason's sentence, the count, and who is in trouble."""
    if reason is Reason.DELETE_REQUESTED:
        return SENTENCES[reason]
    if reason is Reason.SUSPENDED_BY_OWNER:
        left = f" Instances that are still on their way out: {counted.present}."
        return SENTENCES[reason] + (left if counted.present else "")
    wanted = node.spec.instances
    parts = [f"{counted.healthy} healthy of {wanted.want} wanted, minimum {wanted.min}"]
    parts += [
        f"{event.instance} is UNHEALTHY ({event.reason.value}: {event.sentence})"
        for event in counted.troubled[:NAMED_MAX]
    ]
    if len(counted.troubled) > NAMED_MAX:
        parts.append(f"{len(counted.troubled) - NAMED_MAX} more are UNHEALTHY")
    return f"{SENTENCES[reason]} {'; '.join(parts)}."


def _evidence(counted: Count) -> dict[str, str]:
    """Which instances are in trouble and why, then how many are where on their way."""
    troubled = {
        event.instance: f"{event.status.value} {event.reason.value}: {event.sentence}"
        for event in counted.troubled[:NAMED_MAX]
    }
    waiting = {
        status.value: str(number)
        for status, number in sorted(counted.by_status.items(), key=lambda item: item[0].value)
        if status not in (InstanceStatus.HEALTHY, InstanceStatus.UNHEALTHY)
    }
    return {**troubled, **waiting}
