"""A partition's statuses, outbox and ledger on a log that loses acknowledgements."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from schemas.errors import BusUnavailable, IllegalMove
from schemas.evolution import AgentPhase
from schemas.instances import Instance
from schemas.nodes import Node
from services.chassis.clock import SYSTEM_CLOCK
from services.chassis.endings import ended
from services.chassis.metrics import Metrics
from services.health.ledger import Ledger, Recorded
from services.health.measures import Measures
from services.health.outbox import Event, Outbox, Outgoing
from services.health.statuses import PartitionStatuses
from tests.builders import a_command, decided
from tests.services.health.world import a_fresh_node, created, deleting, exited, wanted

TOLD_SECONDS = 20.0

Pair = tuple[Node, Instance]
Changes = Counter[tuple[str, str, str]]  # Of one kind: from, to, reason.


class Log:
    """Takes everything; of some, by number, the answer is lost."""

    def __init__(self, *unheard: int) -> None:
        self.unheard = unheard
        self.taken: list[tuple[str, Event | None]] = []

    async def put(self, event: Event) -> None:
        self._take(event.key, event)

    async def bury(self, key: str, place: str) -> None:
        self._take(key, None)

    def _take(self, key: str, event: Event | None) -> None:
        self.taken.append((key, event))
        if len(self.taken) in self.unheard:
            raise BusUnavailable("taken, and the answer was lost")


def seen_outside(log: Log) -> Changes:
    """What a consumer counts that knows the events and their ids, and nothing of us."""
    present: dict[str, Event] = {}
    changes: Changes = Counter()
    for key, event in log.taken:
        before = present.get(key)
        if event is None:
            if before is not None:
                changes[before.status.value, "gone", before.reason.value] += 1
            present.pop(key, None)
            continue
        was = "none" if before is None else before.status.value
        if was != event.status.value:
            changes[was, event.status.value, event.reason.value] += 1
        present[key] = event
    return changes


@dataclass
class Owned:
    """As `Measures` reads a partition."""

    ledger: Ledger
    pending: int = 0
    projection_age_seconds: float = 0.0
    projection_failures: int = 0


class Part:
    """One owner of one partition."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.metrics = Metrics("health")
        self.measures = Measures(self.metrics)
        self.ledger = Ledger(self.measures)
        self.measures.owned = {0: Owned(self.ledger)}
        self.statuses = PartitionStatuses(self, SYSTEM_CLOCK)
        recorded = Recorded(log, self.ledger, SYSTEM_CLOCK)
        self.outbox = Outbox(recorded, self.statuses.recount, SYSTEM_CLOCK)

    @property
    def text(self) -> str:
        return self.metrics.text().decode()

    def outgoing(self, outgoing: Outgoing) -> None:
        self.outbox.add(outgoing)

    def dirty(self) -> None:
        self.outbox.wake()

    def contactable(self, fact: Instance, *, is_so: bool) -> None:
        return None

    def refused(self, instance: str, refusal: IllegalMove) -> None:
        raise refusal

    def hear(self, node: Node, *facts: Instance) -> None:
        self.statuses.heard_node(node.place, node)
        for fact in facts:
            self.statuses.heard_instance(fact.instance, fact)

    async def told(self) -> None:
        """Everything has gone out."""
        task = asyncio.create_task(self.outbox.run())
        ends = time.monotonic() + TOLD_SECONDS
        while not self.outbox.is_empty:
            assert time.monotonic() < ends, "not everything has gone out"
            await asyncio.sleep(0)
        await ended([task])

    async def deploys(self, *names: str) -> list[Pair]:
        """Nodes whose one instance has started well."""
        nodes = [a_fresh_node(name) for name in names]
        pairs = [(node, created(wanted(node), "unix:/nowhere")) for node in nodes]
        for node in nodes:
            self.hear(node, wanted(node))
        await self.told()
        for node, fact in pairs:
            self.hear(node, fact)
            self.statuses.take_phases(fact, list(_ready()))
        await self.told()
        return pairs

    async def kills(self, node: Node, fact: Instance) -> None:
        self.hear(node, exited(fact))
        await self.told()

    async def deletes(self, *pairs: Pair) -> None:
        for node, fact in pairs:
            self.hear(decided(node, a_command("DeleteNode", node=node.node)), deleting(fact))
        await self.told()
        for node, fact in pairs:
            self.statuses.heard_instance(fact.instance, None)
            self.statuses.heard_node(node.place, None)
        await self.told()


def _ready() -> Iterator[AgentPhase]:
    for seq, phase in enumerate(("started", "preparing", "ready"), start=1):
        yield AgentPhase(seq=seq, phase=phase, at=SYSTEM_CLOCK.now())
