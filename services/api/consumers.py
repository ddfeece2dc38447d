"""What is read of Kafka: outcomes and statuses of all partitions, by a consumer without a group."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from schemas.errors import BusUnavailable
from schemas.topics import Topic
from services.api.event_log import OUTCOME, EventLog, StatusMark
from services.api.measures import Measures
from services.api.outcomes import Outcomes, outcome_key
from services.api.positions import sources_of
from services.api.settings import ApiSettings
from services.chassis.bus_records import RawRecord
from services.chassis.process import Process
from services.chassis.tables import Tables
from services.chassis.tables_fold import TableSpec
from services.chassis.telemetry import logger

READ = "events read"
READ_SECONDS = 3600.0  # Until all that was there is read; the process is not ready before.
OUTCOMES_PER_PARTITION_MIN = 100

log = logger("api.consumers")


class News:
    """The fold of both topics, the latest events, and the outcomes."""

    def __init__(self, process: Process[ApiSettings], measures: Measures) -> None:
        settings = process.settings
        self._process = process
        self._read = process.readiness.require(READ)
        self._partitions = range(settings.cellnode_partitions)
        self.tables = Tables(process, _specs(settings), bury=passed_over)
        self.events = EventLog(
            events_max=settings.events_kept_max,
            bytes_max=settings.events_bytes_max,
            counted=lambda kind: measures.events.labels(kind).inc(),
        )
        self.outcomes = Outcomes(self.tables)
        self.tables.listen_from_start(self.events.heard)
        self.tables.listen_from_start(self.outcomes.heard)

    def check_read(self) -> None:
        """Return if all that was there at the start is read: what is not known, is not there."""
        if not self._read.is_met:
            raise BusUnavailable(f"the topics are not read yet: {self._read.sentence}")

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """Read while inside; entered once everything that was there is known."""
        async with self.tables:
            while not self._read.is_met:
                try:
                    await self.tables.assign(self._partitions)
                    await self.tables.caught_up(self._partitions, READ_SECONDS)
                except BusUnavailable as error:
                    self._read.unmet(str(error))
                    log.warning("events not read yet", error=str(error))
                    await self._process.clock.sleep(1.0)
                else:
                    self._begun()
                    self._read.met()
            yield

    def _begun(self) -> None:
        for source in sources_of(self._partitions):
            self.events.began_at(source, self.tables.fold(*source).began_at)


def _specs(settings: ApiSettings) -> tuple[TableSpec, ...]:
    per_partition = settings.outcomes_kept_max // settings.cellnode_partitions
    kept = max(OUTCOMES_PER_PARTITION_MIN, per_partition)
    return (
        TableSpec(Topic.OUTCOMES, OUTCOME.validate_json, outcome_key, entries_max=kept),
        TableSpec(Topic.STATUSES, StatusMark.model_validate_json),
    )


async def passed_over(raw: RawRecord, error: Exception) -> None:
    """Who owns the topic buries what cannot be read; a mere reader goes on."""
    log.error("record unreadable", topic=raw.topic, offset=raw.offset, error=str(error)[:500])
