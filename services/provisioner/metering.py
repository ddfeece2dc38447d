"""Metering: says on `usage` for how long every instance is known to have lived.

What is said follows from the record of the instance and from the provider's word that its VM lives,
so it is true whoever says it, and a successor says it again without adding to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from schemas.errors import TransientError
from schemas.events import InstanceUsage
from schemas.instances import Instance
from schemas.usage import HOUR, hour_of, metered
from services.chassis.loops import KeyedLoop, Pace
from services.chassis.process import Process
from services.chassis.telemetry import logger
from services.provisioner.book import Book
from services.provisioner.measures import Measures
from services.provisioner.providers import Provider
from services.provisioner.settings import ProvisionerSettings

AT_ONCE = 500  # Records that wait for Kafka together.
OPEN_RECORDS_PER_SECOND_MAX = 50  # With more instances the hour under way is told less often.
LAST_ROUND_SECONDS_MAX = 2.0
AFTER_THE_HOUR_SECONDS = 0.05
RESYNC_SECONDS = 3600.0
_ALL = "all"

Publish = Callable[[InstanceUsage], Awaitable[None]]

log = logger("provisioner.metering")


class Metering:
    """Rounds over all instances of the owned partitions, and the last word about each."""

    def __init__(
        self,
        process: Process[ProvisionerSettings],
        book: Book,
        provider: Provider,
        publish: Publish,
        *,
        measures: Measures,
    ) -> None:
        clock = process.clock
        self._book = book
        self._provider = provider
        self._publish = publish
        self._seconds = process.settings.metering_seconds
        self._clock = clock
        self._closed: set[str] = set()  # Ended, and all is said; until they are buried.
        self._counted: dict[str, datetime] = {}  # Up to when, of the counter below.
        self._began_at = clock.now()
        self._usage = measures.usage_seconds
        pace = Pace(in_flight_max=1, resync_seconds=RESYNC_SECONDS)
        self._loop: KeyedLoop[str] = KeyedLoop(
            "provisioner.meter", self._pass, keys=lambda: (_ALL,), pace=pace, clock=clock
        )

    async def run(self) -> None:
        """Until cancelled."""
        await self._loop.run()

    async def taken_over(self, _: frozenset[int]) -> None:
        """There may be hours that nobody has told of."""
        self._loop.wake(_ALL)

    async def round(self) -> int:
        """Say of all instances what is known now; returns how many there are."""
        now = self._clock.now()  # Before the provider is asked: who lives then has lived until now.
        present = [one for one in self._book.all_instances() if one.created_at]
        living = await self._provider.living([one for one in present if one.exited is None])
        due = [one for one in present if one.exited or one.instance in living]
        for start in range(0, len(due), AT_ONCE):
            some = due[start : start + AT_ONCE]
            await asyncio.gather(*(self._tell(one, now) for one in some))
        known = {one.instance for one in present}
        self._closed &= known
        self._counted = {key: at for key, at in self._counted.items() if key in known}
        return len(due)

    @asynccontextmanager
    async def told_at_the_end(self) -> AsyncIterator[None]:
        """A last round when this is left, if there is time for it."""
        try:
            yield
        finally:
            try:
                async with asyncio.timeout(LAST_ROUND_SECONDS_MAX):
                    await self.round()
            except (TimeoutError, TransientError) as error:
                log.warning("usage not told at the end", error=repr(error))

    async def close(self, instance: Instance) -> None:
        """The last word about an instance that has ended: before its record is buried."""
        if instance.exited is not None:
            await self._tell(instance, instance.exited.at)

    async def _pass(self, _: str) -> float:
        count = await self.round()
        pause = max(self._seconds, count / OPEN_RECORDS_PER_SECOND_MAX)
        now = self._clock.now()
        to_the_hour = (hour_of(now) + HOUR - now).total_seconds()
        return min(pause, to_the_hour + AFTER_THE_HOUR_SECONDS)

    async def _tell(self, instance: Instance, alive_at: datetime) -> None:
        if instance.instance in self._closed:
            return
        records = metered(self._typed(instance), alive_at)
        for start in range(0, len(records), AT_ONCE):
            await asyncio.gather(*(self._publish(one) for one in records[start : start + AT_ONCE]))
        if records:
            self._count(instance, records)
        if instance.exited is not None:
            self._closed.add(instance.instance)
        elif records and (closed := [one for one in records if not one.is_open]):
            await self._note_closed(instance, closed)

    async def _note_closed(self, instance: Instance, closed: Sequence[InstanceUsage]) -> None:
        """So that a successor need not say it again."""
        present = self._book.instance(instance.place, instance.instance)
        if present is not None:
            until = closed[-1].hour + HOUR
            await self._book.put_fact(present, present.kind, metered_until=until)

    def _typed(self, instance: Instance) -> Instance:
        """A record that is older than the field: its revision says what it was made as."""
        if instance.instance_type is not None:
            return instance
        node = self._book.node(instance.place)
        if node is None or node.revision != instance.revision:
            return instance
        return instance.model_copy(update={"instance_type": node.spec.instance_type})

    def _count(self, instance: Instance, records: Sequence[InstanceUsage]) -> None:
        until, key = records[-1].at, instance.instance
        assert instance.created_at is not None, "it is metered"
        since = self._counted.get(key, max(instance.created_at, self._began_at))
        if until > since:
            seconds = (until - since).total_seconds()
            self._usage.labels(records[-1].instance_type).inc(seconds)
            self._counted[key] = until
