"""Reads the topic `usage` from its start, beside everything else, into ledgers by partition."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from schemas.errors import BusUnavailable
from schemas.ids import partition_of, place_of
from schemas.messages import TableRecord
from schemas.topics import Topic
from services.api.consumers import READ_SECONDS, passed_over
from services.api.settings import ApiSettings
from services.api.usage_ledger import Ledger, UsageMark
from services.chassis.endings import ended
from services.chassis.process import Process
from services.chassis.tables import Batch, Tables
from services.chassis.tables_fold import TableSpec
from services.chassis.telemetry import logger

TRY_AGAIN_SECONDS = 1.0
_REMEMBERED = 1  # The table is only read through; what it says is in the ledgers.

log = logger("api.usage")


class UsageReading:
    """The ledgers are whole once everything was read that was there at the start."""

    def __init__(self, process: Process[ApiSettings]) -> None:
        self._clock = process.clock
        self._partitions = range(process.settings.cellnode_partitions)
        self._ledgers = {number: Ledger() for number in self._partitions}
        spec = TableSpec(Topic.USAGE, UsageMark.model_validate_json, _word, entries_max=_REMEMBERED)
        self._tables = Tables(process, (spec,), bury=passed_over)
        self._tables.listen_from_start(self._heard)
        self._is_read = False

    def ledgers(self, project: str, node: str | None) -> list[Ledger]:
        """Those where a project's nodes are, or one node; BusUnavailable before they are read."""
        if not self._is_read:
            raise BusUnavailable("usage is not read yet")
        if node is None:
            return list(self._ledgers.values())
        return [self._ledgers[partition_of(place_of(project, node), len(self._ledgers))]]

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Read while inside; nothing else waits for it."""
        async with self._tables:
            beginning = asyncio.create_task(self._begin(), name="api.usage")
            try:
                yield
            finally:
                await ended([beginning])

    async def _begin(self) -> None:
        while not self._is_read:
            try:
                await self._tables.assign(self._partitions)
                await self._tables.caught_up(self._partitions, READ_SECONDS)
            except BusUnavailable as error:
                log.warning("usage not read yet", error=str(error))
                await self._clock.sleep(TRY_AGAIN_SECONDS)
            else:
                self._is_read = True

    def _heard(self, batch: Batch) -> None:
        ledger, now = self._ledgers[batch.partition], self._clock.now()
        for change in batch.changes:
            if isinstance(change.record, UsageMark):
                ledger.add(change.record, now)


def _word(record: TableRecord) -> str:
    """Every word on an hour is read, though only the largest counts."""
    assert isinstance(record, UsageMark)
    return f"{record.instance}@{record.hour.isoformat()}={record.seconds}"
