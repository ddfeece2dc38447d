"""What was published of one partition: each change of a status counts once, however often told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple, Protocol

from schemas.events import InstanceStatusChanged, NodeStatusChanged
from schemas.statuses import Reason, Transition
from services.chassis.clock import Clock
from services.health.outbox import Event, Publishes

NOTHING = "none"  # Before the first status of an instance or node.
GONE = "gone"  # After its tombstone.
NODE, INSTANCE = "node", "instance"


class Change(NamedTuple):
    """One status left for another."""

    kind: str
    before: str
    after: str
    reason: Reason
    lasted_seconds: float | None  # None where there was none before.


class Counts(Protocol):
    """Who counts for the whole process."""

    def changed(self, change: Change) -> None: ...


class Ledger:
    """The last event of every key that Kafka has acknowledged, and the nodes' own counters.

    Every event carries its history: what an outage has merged into one event still counts as many.
    """

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self.nodes: dict[str, NodeStatusChanged] = {}
        self.instances: dict[str, InstanceStatusChanged] = {}
        self.changes: dict[str, Counter[tuple[str, str, str]]] = {}  # Of nodes: from, to, reason.

    def resume(self, published: Iterable[Event]) -> None:
        """What former owners have published was counted by them."""
        for event in published:
            self._note(event)

    def told(self, event: Event) -> None:
        known = self.nodes.get(event.key) or self.instances.get(event.key)
        self._note(event)
        for change in changes(known, event):
            self._count(event.place, change)

    def gone(self, key: str, now: datetime) -> None:
        event = self.nodes.pop(key, None) or self.instances.pop(key, None)
        if event is None:
            return  # Buried again.
        lasted = _seconds(event.since, now)
        change = Change(_kind(event), event.status.value, GONE, event.reason, lasted)
        self._count(event.place, change)
        if isinstance(event, NodeStatusChanged):
            self.changes.pop(event.place, None)

    def _note(self, event: Event) -> None:
        if isinstance(event, NodeStatusChanged):
            self.nodes[event.key] = event
        else:
            self.instances[event.key] = event

    def _count(self, place: str, change: Change) -> None:
        self._counts.changed(change)
        if change.kind == NODE:
            of_node = self.changes.setdefault(place, Counter())
            of_node[change.before, change.after, change.reason.value] += 1


class Recorded:
    """Publishes, and enters into the ledger what Kafka has acknowledged."""

    def __init__(self, publishes: Publishes, ledger: Ledger, clock: Clock) -> None:
        self._publishes = publishes
        self._ledger = ledger
        self._clock = clock

    async def put(self, event: Event) -> None:
        await self._publishes.put(event)
        self._ledger.told(event)

    async def bury(self, key: str, place: str) -> None:
        await self._publishes.bury(key, place)
        self._ledger.gone(key, self._clock.now())


def changes(known: Event | None, event: Event) -> Iterator[Change]:
    """What has happened between two events of a key. A new reason alone is no change."""
    status, since = (known.status.value, known.since) if known else (NOTHING, None)
    for step in _steps_after(known, event):
        if step.status != status:
            lasted = None if since is None else _seconds(since, step.at)
            yield Change(_kind(event), status, step.status, step.reason, lasted)
            status, since = step.status, step.at


def _steps_after(known: Event | None, event: Event) -> tuple[Transition, ...]:
    """All of a history that is longer than what events remember, or is not known."""
    history = event.transitions
    last = known.transitions[-1] if known is not None and known.transitions else None
    for place in range(len(history), 0, -1):
        if history[place - 1] == last:
            return history[place:]
    return history


def _kind(event: Event) -> str:
    return NODE if isinstance(event, NodeStatusChanged) else INSTANCE


def _seconds(since: datetime, until: datetime) -> float:
    """Two clocks may have told them."""
    return max(0.0, (until - since).total_seconds())
