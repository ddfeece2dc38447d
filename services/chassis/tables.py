"""Compacted topics, and `outcomes`, folded into memory by partition from their start."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from types import TracebackType
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from typing_extensions import Self

from schemas.errors import BusUnavailable, TransientError
from schemas.topics import Topic
from services.chassis.bus_progress import watch_progress
from services.chassis.bus_records import RawRecord, raw_record
from services.chassis.bus_security import client_options, refusal
from services.chassis.clock import Clock
from services.chassis.endings import ended
from services.chassis.process import Process
from services.chassis.settings import Settings
from services.chassis.tables_fold import Applied, Change, Fold, TableSpec, Unreadable, placed
from services.chassis.tables_gaps import Gaps
from services.chassis.tables_known import Batch, KnownTables, Place, Position, Reading
from services.chassis.telemetry import logger

__all__ = ["Batch", "Position", "TableSpec", "Tables"]

POLL_MS = 500
RECORDS_MAX = 2_000  # Folded in one go, before others get a turn.
ASK_TIMEOUT_SECONDS = 10.0  # For the first and last offsets of partitions.
TRY_AGAIN_SECONDS = 0.5

Bury = Callable[[RawRecord, Exception], Awaitable[None]]

log = logger("chassis.tables")


class Tables(KnownTables):
    """The folds of several topics over the same partitions, read by one consumer of its own."""

    def __init__(self, process: Process[Any], specs: Sequence[TableSpec], *, bury: Bury) -> None:
        super().__init__(specs)
        self._process = process
        self._settings: Settings = process.settings
        self._clock = process.clock
        self._bury = bury
        self._measures = process.bus_measures
        self._readable = process.readiness.require("tables")
        self._readable.met()  # Until a right is missing.
        self._consumer: Any = None
        self._running: list[asyncio.Task[None]] = []
        self._assigned = asyncio.Event()
        self._assigning = asyncio.Lock()
        self._progress = asyncio.Event()
        self._gaps = Gaps(lambda: self._consumer)

    async def assign(self, partitions: Iterable[int]) -> None:
        """Read exactly these partitions of every topic: new ones from their start, others on."""
        async with self._assigning:
            wanted = set(self._places(sorted(partitions)))
            fresh = await self._begun(wanted - self._readings.keys())
            for place in self._readings.keys() - wanted:
                self._readings[place].give_up()
            kept = {place: one for place, one in self._readings.items() if place in wanted}
            self._readings = {**kept, **fresh}
            self._point_consumer()

    async def caught_up(self, partitions: Iterable[int], timeout_seconds: float) -> None:
        """Return once all that was there at the assignment is folded, or raise BusUnavailable."""
        numbers = list(partitions)
        await self._until(lambda: self.is_caught_up(numbers), timeout_seconds, "be read")

    async def complete(self, partitions: Iterable[int], timeout_seconds: float) -> None:
        """Return once nothing is missing, or raise BusUnavailable."""
        numbers = list(partitions)
        await self._until(lambda: self.is_complete(numbers), timeout_seconds, "be complete")

    async def reached(self, topic: Topic, partition: int, offset: int) -> None:
        """Return once the record at this offset is folded; the caller sets the deadline."""
        reading = self._readings.get((topic, partition))
        if reading is None:
            raise BusUnavailable(f"{topic.value}/{partition} is not read here any more")
        await reading.reached(offset)

    async def up_to_now(self, topic: Topic, partition: int) -> None:
        """Return once all is folded that lies on the bus now; the caller sets the deadline."""
        await self.all_up_to_now([(topic, partition)])

    async def all_up_to_now(self, places: Sequence[Place]) -> None:
        """The same of several, asked for at once."""
        _, last = await self._offsets([_partition(place) for place in places])
        ends = {place: last[_partition(place)] for place in places}
        await asyncio.gather(*(self.reached(*place, end - 1) for place, end in ends.items()))

    async def __aenter__(self) -> Self:
        self._consumer = AIOKafkaConsumer(
            **client_options(self._settings),
            client_id=f"cellnode-{self._process.name}-tables",
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",  # An unknown offset is an event: fold from the start.
            fetch_max_wait_ms=self._settings.kafka_fetch_max_wait_ms,
        )
        await _started(self._consumer, self._clock)
        watching = watch_progress(lambda: self._consumer, self._clock)
        self._running = [
            self._process.watch(self._read(), "tables"),
            self._process.watch(watching, "tables.progress"),
            self._process.watch(
                self._measures.follow_lag(lambda: self._consumer, self._clock), "tables.lag"
            ),
        ]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await ended(self._running)
        for reading in self._readings.values():
            reading.give_up()
        await _stopped(self._consumer)

    async def _begun(self, places: Iterable[Place]) -> dict[Place, Reading]:
        """New readings with the offsets that exist now."""
        wanted = {place: _partition(place) for place in places}
        if not wanted:
            return {}
        first, last = await self._offsets(list(wanted.values()))
        begun = {}
        for place, partition in wanted.items():
            spec, start = self._specs[place[0]], first[partition]
            fold = Fold(spec, began_at=start, end_at=last[partition], position=start)
            begun[place] = Reading(Fold(spec), fold)
        return begun

    async def _offsets(self, partitions: Sequence[Any]) -> tuple[dict[Any, int], dict[Any, int]]:
        """The first that exists and the one after the last, of each."""
        asked = asyncio.gather(
            self._consumer.beginning_offsets(partitions), self._consumer.end_offsets(partitions)
        )
        try:
            first, last = await asyncio.wait_for(asked, ASK_TIMEOUT_SECONDS)
        except (KafkaError, asyncio.TimeoutError) as error:
            raise BusUnavailable(f"Kafka does not tell offsets: {error!r}") from error
        return first, last

    def _point_consumer(self) -> None:
        """Without an await in between, so that nothing is fetched from a wrong offset."""
        self._consumer.assign([_partition(place) for place in self._readings])
        for place, reading in self._readings.items():
            self._consumer.seek(_partition(place), reading.fold.position)
            self._serve_if_caught_up(place, reading)
        if self._readings:
            self._assigned.set()
        else:
            self._assigned.clear()
        self._tell_progress()

    async def _read(self) -> None:
        while True:
            await self._assigned.wait()
            self._gaps.before(self._unfinished())
            try:
                fetched = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=RECORDS_MAX)
            except OffsetOutOfRangeError as error:
                await self._begin_again((Topic(one.topic), one.partition) for one in error.args[0])
                continue
            except KafkaError as error:
                self._readable.tell(refusal(error))
                log.warning("tables cannot be read", error=repr(error))
                await self._clock.sleep(TRY_AGAIN_SECONDS)
                continue
            self._readable.tell("")
            for partition, records in fetched.items():
                self._measures.records.labels(partition.topic, "read").inc(len(records))
                with self._measures.fold_seconds.labels(partition.topic).time():
                    await self._fold_in((Topic(partition.topic), partition.partition), records)
            for partition, end in self._gaps.after(is_quiet=not fetched).items():
                self._pass_gap((Topic(partition.topic), partition.partition), end)
            self._tell_progress()

    def _unfinished(self) -> list[Any]:
        """The partitions that are folded from their start and not at their end yet."""
        return [_partition(place) for place, one in self._readings.items() if one.building]

    def _pass_gap(self, place: Place, end: int) -> None:
        """Nothing is left to read before this end."""
        reading = self._readings.get(place)
        if reading is None or reading.building is None or end < reading.building.end_at:
            return
        log.info("the last records are compacted away", topic=place[0].value, partition=place[1])
        reading.building.position = end
        self._consumer.seek(_partition(place), end)
        self._serve_if_caught_up(place, reading)

    async def _fold_in(self, place: Place, records: Sequence[Any]) -> None:
        changes: list[Change] = []
        for record in records:
            reading = self._readings.get(place)
            if reading is None or record.offset < reading.fold.position:
                continue  # Taken away, or begun again, while this was under way.
            raw = raw_record(record)
            applied = await self._applied(reading, raw)
            if applied.is_other_log:
                return await self._begin_again([place])
            if applied.lost_key is not None:
                reading.lost_keys.add(applied.lost_key)
            if reading.building is None or self._historians:
                changes += placed(applied.changes, raw)
        if (reading := self._readings.get(place)) is not None:
            self._folded(place, reading, changes)

    async def _applied(self, reading: Reading, raw: RawRecord) -> Applied:
        try:
            return reading.fold.apply(raw)
        except Unreadable as error:
            self._measures.records.labels(raw.topic, "unreadable").inc()
            try:
                await self._bury(raw, error)
            except TransientError as failure:
                log.error("a record cannot be buried", topic=raw.topic, error=str(failure))
            return Applied()

    def _folded(self, place: Place, reading: Reading, changes: Sequence[Change]) -> None:
        if reading.building is None:
            self._tell(place, reading, changes, is_rebuilt=False)
        else:
            self._tell_history(place, reading.building, changes)
            self._serve_if_caught_up(place, reading)

    def _serve_if_caught_up(self, place: Place, reading: Reading) -> None:
        changes = reading.serve_if_caught_up()
        if changes is not None:
            keys = len(reading.served.entries)
            log.info("table read", topic=place[0].value, partition=place[1], keys=keys)
            self._tell(place, reading, changes, is_rebuilt=True)

    async def _begin_again(self, places: Iterable[Place]) -> None:
        """The offsets are not those we knew: fold from the start what exists now."""
        known = [place for place in places if place in self._readings]
        log.error("log changed, folding again", places=[(t.value, number) for t, number in known])
        try:
            fresh = await self._begun(known)
        except BusUnavailable as error:
            log.warning("tables cannot be read", error=str(error))
            await self._clock.sleep(TRY_AGAIN_SECONDS)
            return
        for place, reading in fresh.items():
            if place in self._readings:
                self._readings[place].building = reading.building
        self._point_consumer()

    async def _until(self, is_so: Callable[[], bool], timeout_seconds: float, what: str) -> None:
        deadline = self._clock.monotonic() + timeout_seconds
        while not is_so():
            left = max(0.0, deadline - self._clock.monotonic())
            try:
                await asyncio.wait_for(self._progress.wait(), left)
            except asyncio.TimeoutError:
                raise BusUnavailable(f"tables could not {what} in {timeout_seconds} s") from None

    def _tell_progress(self) -> None:
        self._progress.set()
        self._progress = asyncio.Event()


def _partition(place: Place) -> Any:
    return TopicPartition(place[0].value, place[1])


async def _started(client: Any, clock: Clock) -> None:
    """Start a Kafka client, trying until the brokers answer; the caller may cancel."""
    while True:
        try:
            await client.start()
        except KafkaError as error:
            log.warning("Kafka does not answer", error=repr(error))
            await clock.sleep(clock.jittered(TRY_AGAIN_SECONDS))
        else:
            return


async def _stopped(consumer: Any) -> None:
    """Stop a Kafka consumer for good, also while the brokers are away.

    Then what it was doing may end it half-way, with a cancellation that nobody asked us for.
    """
    stopping = asyncio.wait_for(consumer.stop(), ASK_TIMEOUT_SECONDS)
    ended_so = await asyncio.gather(stopping, return_exceptions=True)
    if ended_so[0] is not None:
        log.warning("consumer not stopped in order", error=repr(ended_so[0]))
        await consumer._client.close()
