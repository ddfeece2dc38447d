"""Partitions as they come and go: the group's assignment of `nodes` is their ownership."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from schemas.topics import Topic
from services.chassis.bus import Consumers
from services.chassis.tables import Batch, Tables
from services.chassis.tables_owner import OwnedTables
from services.chassis.telemetry import logger
from services.health.partition import Partition

GROUP = "health"

log = logger("health.consumers")


class Ownership:
    """Takes over, starts, and lets go of partitions; tells them the news of their tables."""

    def __init__(
        self,
        owned: OwnedTables,
        tables: Tables,
        *,
        start: Callable[[int], Partition],
        drain_seconds: float,
        changed: Callable[[int], None],
    ) -> None:
        self._owned = owned
        self._tables = tables
        self._start = start
        self._drain_seconds = drain_seconds
        self._changed = changed
        self.partitions: dict[int, Partition] = {}

    async def on_assigned(self, partitions: frozenset[int]) -> None:
        await self._let_go(self.partitions.keys() - partitions)
        await self._owned.on_assigned(partitions)
        for number in sorted(partitions - self.partitions.keys()):
            await self._made_whole(number)
            self.partitions[number] = self._start(number)
        self._changed(len(self.partitions))

    async def _made_whole(self, number: int) -> None:
        """A bus that forgot the beginning of our own table is told that what it has is all."""
        if not self._tables.is_complete([number], [Topic.STATUSES]):
            log.warning("statuses are not complete, written anew", partition=number)
            await self._owned.republish(Topic.STATUSES, number)

    async def on_revoked(self, partitions: frozenset[int]) -> None:
        await self._let_go(partitions)
        await self._owned.on_revoked(partitions)
        self._changed(len(self.partitions))

    def heard(self, batch: Batch) -> None:
        if (partition := self.partitions.get(batch.partition)) is not None:
            partition.heard(batch)

    async def close(self) -> None:
        await self._let_go(frozenset(self.partitions))

    async def _let_go(self, numbers: frozenset[int] | set[int]) -> None:
        going = [self.partitions.pop(number) for number in numbers if number in self.partitions]
        await asyncio.gather(*(partition.close(self._drain_seconds) for partition in going))


def health_consumers(ownership: Ownership) -> Consumers:
    """Without a handler: records are read as tables, the group only says whose they are."""
    return Consumers(Topic.NODES, GROUP, ownership)
