"""The last event of a status whose end nobody announced: DELETING, before its tombstone."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from schemas.events import InstanceStatusChanged, NodeStatusChanged
from schemas.statuses import (
    INSTANCE_MOVES,
    NODE_MOVES,
    SENTENCES,
    InstanceStatus,
    NodeStatus,
    Reason,
    Transition,
    move,
    remember,
)

Event = InstanceStatusChanged | NodeStatusChanged


def leaving(last: Event, event_id: UUID, now: datetime) -> Event | None:
    """The event between the last one that was told and its tombstone; none if it was told."""
    changes: dict[str, object] = {"healthy": 0, "healthy_of_revision": 0}
    status: InstanceStatus | NodeStatus
    if isinstance(last, NodeStatusChanged):
        status = move(NODE_MOVES, last.status, NodeStatus.DELETING)
    else:
        status, changes = move(INSTANCE_MOVES, last.status, InstanceStatus.DELETING), {}
    if status is last.status:
        return None
    reason = Reason.DELETE_REQUESTED
    step = Transition(status=status.value, reason=reason, at=now)
    changes |= {"id": event_id, "at": now, "since": now, "status": status, "evidence": {}}
    changes |= {"reason": reason, "sentence": SENTENCES[reason]}
    changes |= {"transitions": remember(last.transitions, step)}
    return last.model_copy(update=changes)
