"""One owned partition: its statuses, its outbox, its projection, wired to each other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from schemas.errors import IllegalMove
from schemas.instances import Instance
from schemas.nodes import Node
from schemas.topics import Topic
from services.chassis.clock import Clock
from services.chassis.endings import ended
from services.chassis.tables import Batch, Tables
from services.chassis.tables_owner import OwnedTables
from services.chassis.telemetry import logger, within
from services.health.ledger import Ledger, Recorded
from services.health.measures import Measures
from services.health.outbox import Event, Outbox, Outgoing
from services.health.projection import PartitionProjection
from services.health.statuses import PartitionStatuses
from services.health.watcher import Watcher

KNOWING = (Topic.NODES, Topic.INSTANCES, Topic.STATUSES)
DRAIN_CHECK_SECONDS = 0.01

log = logger("health.partition")


class StatusTable:
    """Where the outbox writes: the table `statuses`, under the term of its owner."""

    def __init__(self, owned: OwnedTables) -> None:
        self._owned = owned

    async def put(self, event: Event) -> None:
        await self._owned.put(event, read_back=False)

    async def bury(self, key: str, place: str) -> None:
        await self._owned.delete(Topic.STATUSES, key, place, read_back=False)


class Partition:
    """Lives from the take-over of a partition to its loss."""

    def __init__(
        self,
        number: int,
        tables: Tables,
        *,
        publishes: StatusTable,
        projection: PartitionProjection,
        watcher: Watcher,
        measures: Measures,
        clock: Clock,
    ) -> None:
        self.number = number
        self.statuses = PartitionStatuses(self, clock)
        self.projection = projection
        self._tables = tables
        self._watcher = watcher
        self._measures = measures
        self._clock = clock
        self._kept: set[str] = set()
        self._missing: set[str] = set()
        self._tasks: list[asyncio.Task[Any]] = []
        self.ledger = Ledger(measures)
        recorded = Recorded(publishes, self.ledger, clock)
        self.outbox = Outbox(recorded, self.statuses.recount, clock)

    @property
    def pending(self) -> int:
        """Events that the bus has not taken."""
        return self.outbox.pending

    @property
    def projection_age_seconds(self) -> float:
        return self.projection.age_seconds

    @property
    def projection_failures(self) -> int:
        return self.projection.failures

    def start(self, watch: Callable[[Any, str], asyncio.Task[Any]]) -> None:
        """Go on from what is known; nothing is awaited, so no news falls between."""
        entries = self._tables.items(Topic.STATUSES, self.number)
        published = cast("list[Event]", [entry.record for _, entry in entries])
        self.ledger.resume(published)
        self.statuses.resume(published)
        for topic in (Topic.NODES, Topic.INSTANCES):
            for key, entry in self._tables.items(topic, self.number):
                self._heard(topic, key, entry.record)
        self.bury_strangers()
        self._tasks = [
            watch(self.outbox.run(), f"outbox {self.number}"),
            watch(self.projection.run(), f"projection {self.number}"),
        ]

    def heard(self, batch: Batch) -> None:
        """News of any table."""
        self.projection.heard(batch)
        for change in batch.changes:
            with within(change.trace):
                self._heard(batch.topic, change.key, change.record)

    def tend(self) -> None:
        """Bury what nobody knows any more; write again what the table has lost."""
        self.bury_strangers()
        if not self.outbox.is_empty or not self._is_complete():
            self._missing = set()
            return
        written = {key for key, _ in self._tables.items(Topic.STATUSES, self.number)}
        missing = self.statuses.keys() - written
        for key in missing & self._missing:  # Twice in a row: it is not just under way.
            log.warning("status lost by the bus", key=key)
            self.statuses.tell_again(key)
        self._missing = missing

    def bury_strangers(self) -> None:
        """Only complete tables may say that something does not exist."""
        if self._is_complete():
            known = [
                (key, entry.record.place)
                for key, entry in self._tables.items(Topic.STATUSES, self.number)
            ]
            self.statuses.bury_strangers(sorted(known, key=lambda one: "/" in one[0]))

    def _is_complete(self) -> bool:
        return self._tables.is_complete([self.number], KNOWING)

    async def close(self, drain_seconds: float) -> None:
        """Stop asking, let go out what was found out, then stop."""
        for instance in list(self._kept):
            self._watcher.end(instance)
        self.statuses.close()
        deadline = self._clock.monotonic() + drain_seconds
        while not self.outbox.is_empty and self._clock.monotonic() < deadline:
            await self._clock.sleep(DRAIN_CHECK_SECONDS)
        await ended(self._tasks)

    # What its statuses tell.

    def outgoing(self, outgoing: Outgoing) -> None:
        self.outbox.add(outgoing)

    def dirty(self) -> None:
        self.outbox.wake()

    def contactable(self, fact: Instance, *, is_so: bool) -> None:
        if is_so:
            self._kept.add(fact.instance)
            self._watcher.keep(fact, self.statuses)
        elif fact.instance in self._kept:
            self._kept.discard(fact.instance)
            self._watcher.end(fact.instance)

    def refused(self, instance: str, refusal: IllegalMove) -> None:
        self._measures.illegal_moves.inc()
        log.warning("illegal move", instance=instance, move=refusal.sentence)

    def _heard(self, topic: Topic, key: str, record: object) -> None:
        if topic is Topic.NODES:
            self.statuses.heard_node(key, record if isinstance(record, Node) else None)
        elif topic is Topic.INSTANCES:
            self.statuses.heard_instance(key, record if isinstance(record, Instance) else None)
