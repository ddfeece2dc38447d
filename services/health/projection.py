"""The projection of one partition: followed step by step, rebuilt when Redis holds another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Protocol

from schemas.errors import StoreUnavailable
from schemas.projection import Change, ProjectedTable
from schemas.topics import Topic
from services.chassis.clock import Clock
from services.chassis.loops import Backoff
from services.chassis.tables import Batch, Position
from services.chassis.telemetry import Causes, logger, within
from services.health.projection_fold import (
    TABLES,
    TOPICS,
    Folded,
    Readable,
    apply,
    changes_of,
    fold_of,
    position_text,
)
from services.health.projection_redis import Head, Identity, RedisPartition, Step

HEARTBEAT_SECONDS = 1.0
STEP = "apply projection"  # In traces.
STEP_CHANGES_MAX = 2_000  # More than this is quicker rebuilt than fed.
REBUILD_SECONDS_MIN = 0.25  # Between two rebuilds: others may be writing against us.
CHECKED_PER_BEAT = 600  # Values compared with what they must be, in turn.

log = logger("health.projection")


class Tables(Readable, Protocol):
    """The tables that are projected."""

    def is_complete(self, partitions: list[int], topics: tuple[Topic, ...]) -> bool: ...


class PartitionProjection:
    """Follows the tables for as long as `run` runs."""

    def __init__(
        self,
        tables: Tables,
        stored: RedisPartition,
        *,
        identity: Callable[[], Identity],
        clock: Clock,
        rebuilt: Callable[[str], None] = lambda why: None,
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self._partition = stored.partition
        self._tables = tables
        self._stored = stored
        self._identity = identity
        self._clock = clock
        self._rebuilt = rebuilt
        self._heartbeat_seconds = heartbeat_seconds
        self._positions: dict[Topic, Position] = {}
        self._pending: dict[tuple[ProjectedTable, str], Change] = {}
        self._causes = Causes()
        self._wanted = asyncio.Event()
        self._backoff = Backoff(0.05, 1.0)
        self._head: Head | None = None  # None: what Redis holds is not ours.
        self._version = 0  # The largest of ours; a new incarnation counts on.
        self._trying: Step | None = None  # Tried again as it is, until its fate is known.
        self._held: Folded = {table: {} for table in TABLES}
        self._unchecked: Iterator[tuple[ProjectedTable, str]] = iter(())
        self._why = "taken over"
        self._rebuilt_at = -REBUILD_SECONDS_MIN
        self.failures = 0
        self.trouble = ""  # Why the last step failed; empty if it did not.
        self.beat_at: float | None = None  # Monotonic; when Redis took the last step.
        self._began_at = clock.monotonic()

    @property
    def incarnation(self) -> str:
        return self._head.incarnation if self._head else ""

    @property
    def age_seconds(self) -> float:
        """Since Redis took the last step; where it has taken none, since this began."""
        began = self._began_at if self.beat_at is None else self.beat_at
        return self._clock.monotonic() - began

    def heard(self, batch: Batch) -> None:
        """News of a table; quick."""
        if batch.topic not in TOPICS:
            return
        self._positions[batch.topic] = batch.position
        for told in batch.changes:
            if told.trace is not None:
                with within(told.trace):
                    self._causes.note(STEP)
        for change in changes_of(batch.topic, batch.changes):
            self._pending.pop((change.table, change.key), None)
            self._pending[change.table, change.key] = change
        self._wanted.set()

    async def run(self) -> None:
        """Until cancelled, or NotOwner."""
        while True:
            try:
                await self._advance()
                self.failures, self.trouble = 0, ""
            except StoreUnavailable as error:
                self.failures, self.trouble = self.failures + 1, str(error)
                log.warning("not projected", partition=self._partition, error=str(error))
                await self._clock.sleep(self._backoff.delay_seconds(self.failures, self._clock))
            else:
                await self._until_wanted()

    async def _until_wanted(self) -> None:
        """Or until the next heartbeat. Unlike `wait_for`, `wait` never loses a cancellation."""
        wanted = asyncio.ensure_future(self._wanted.wait())
        try:
            await asyncio.wait({wanted}, timeout=self._heartbeat_seconds)
        finally:
            wanted.cancel()

    async def _advance(self) -> None:
        """One step; while a table is unfinished, nothing: its absences mean nothing yet."""
        if not self._tables.is_complete([self._partition], TOPICS):
            self._wanted.clear()
            return
        if self._head is None or len(self._pending) > STEP_CHANGES_MAX:
            self._head = await self._replaced()
        is_idle = self._trying is None and not self._wanted.is_set()
        self._head = await self._stepped(self._head)
        if is_idle and self._head and not await self._is_as_it_should(self._head):
            self._give_up("values differ from the tables")

    async def _stepped(self, head: Head) -> Head | None:
        """The head after one more step; None if Redis holds something else."""
        step = self._trying = self._trying or self._taken()
        with self._causes.step(STEP, STEP, {"db.system.name": "redis"}):
            word, detail = await self._stored.take(step, head, self._identity())
        self._trying = None
        if word == "APPLIED":
            self._version = int(detail[0])
        elif word == "REWIND" and detail == [head.incarnation, step.position]:
            self._version += len(step.changes)  # It was taken, and only the answer was lost.
        else:
            self._give_up(f"{word} {' '.join(detail)}")
            return None
        self.beat_at = self._clock.monotonic()
        apply(self._held, step.changes)
        return Head(head.incarnation, step.position, self._version)

    def _taken(self) -> Step:
        """Everything pending, as one step."""
        self._wanted.clear()
        changes, self._pending = tuple(self._pending.values()), {}
        return Step(changes, position_text(self._positions))

    async def _is_as_it_should(self, head: Head) -> bool:
        """Compare some values, in turn: others may have written there."""
        some = list(islice(self._unchecked, CHECKED_PER_BEAT))
        if len(some) < CHECKED_PER_BEAT:
            names = [(table, key) for table in TABLES for key in self._held[table]]
            self._unchecked = iter(names)
        keys = {table: [key for one, key in some if one is table] for table in TABLES}
        return await self._stored.holds(head.incarnation, self._held, keys)

    def _give_up(self, why: str) -> None:
        log.warning("projection lost", partition=self._partition, why=why)
        self._head, self._why = None, why
        self._wanted.set()

    async def _replaced(self) -> Head:
        """Write all of it aside, as a new incarnation, then flip."""
        await self._not_too_often()
        began = self._clock.monotonic()
        old = await self._stored.head()
        folded, position = self._snapshot()
        version = max(self._version, old.version) + 1
        new = Head(self._clock.token(), position, version)
        await self._stored.write_aside(new.incarnation, folded)
        sizes = [len(folded[table]) for table in TABLES]
        await self._stored.flip(old.incarnation, new, sizes, self._identity())
        self._held, self._unchecked, self._version = folded, iter(()), version
        self._told(sum(sizes), began)
        return new

    async def _not_too_often(self) -> None:
        passed = self._clock.monotonic() - self._rebuilt_at
        if passed < REBUILD_SECONDS_MIN:
            await self._clock.sleep(REBUILD_SECONDS_MIN - passed)

    def _snapshot(self) -> tuple[Folded, str]:
        """The tables as they are now: what is heard from here on comes on top."""
        self._head, self._trying, self._pending = None, None, {}
        self._positions = {topic: self._tables.position(topic, self._partition) for topic in TOPICS}
        return fold_of(self._tables, self._partition), position_text(self._positions)

    def _told(self, values: int, began: float) -> None:
        now = self._rebuilt_at = self._clock.monotonic()
        seconds, why = round(now - began, 3), self._why
        self._why = "many changes"  # The only other cause; whatever is lost says why itself.
        self._rebuilt(why)
        log.info(
            "projection rebuilt", partition=self._partition, why=why, values=values, seconds=seconds
        )
