"""Compacted topics, and `outcomes`, folded into memory by partition from their start."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from typing_extensions import Self

from schemas.errors import BusUnavailable, TransientError
from schemas.messages import TableRecord
from schemas.tables import Owner
from schemas.topics import Topic
from services.chassis.bus_records import RawRecord, raw_record
from services.chassis.clock import Clock
from services.chassis.process import Process
from services.chassis.settings import Settings
from services.chassis.tables_fold import Applied, Change, Entry, Fold, TableSpec, Unreadable, merged
from services.chassis.telemetry import logger

POLL_MS = 500
RECORDS_MAX = 2_000  # Folded in one go, before others get a turn.
ASK_TIMEOUT_SECONDS = 10.0  # For the first and last offsets of partitions.
TRY_AGAIN_SECONDS = 0.5
STUCK_SECONDS = 60.0  # Records wait and none is read for so long: the process is of no use.

Place = tuple[Topic, int]
Bury = Callable[[RawRecord, Exception], Awaitable[None]]

log = logger("chassis.tables")


@dataclass(frozen=True)
class Position:
    """How far a partition was folded: the life of its offsets, and the next of them."""

    log: str
    next_offset: int


@dataclass(frozen=True)
class Batch:
    """What reading some records of one partition changed, in order; perhaps nothing."""

    topic: Topic
    partition: int
    changes: tuple[Change, ...]
    position: Position
    is_rebuilt: bool  # The partition was folded from its start; changes are against what was known.


@dataclass
class _Reading:
    """One partition: what is served, and what is being folded from the start."""

    served: Fold
    building: Fold | None
    waiting: list[tuple[int, int, asyncio.Future[None]]] = field(default_factory=list)
    lost_keys: set[str] = field(default_factory=set)
    moved_at: float = 0.0

    @property
    def fold(self) -> Fold:
        return self.building or self.served


class Tables:
    """The folds of several topics over the same partitions, read by one consumer of its own.

    Listeners are called in the reading task for every batch: they must be quick and may not raise.
    """

    def __init__(
        self,
        process: Process[Any],
        specs: Sequence[TableSpec],
        *,
        bury: Bury,
    ) -> None:
        self._process = process
        self._settings: Settings = process.settings
        self._clock = process.clock
        self._specs = {spec.topic: spec for spec in specs}
        self._bury = bury
        self._readings: dict[tuple[Topic, int], _Reading] = {}
        self._listeners: list[Callable[[Batch], None]] = []
        self._consumer: Any = None
        self._task: asyncio.Task[None] | None = None
        self._assigned = asyncio.Event()
        self._assigning = asyncio.Lock()
        self._progress = asyncio.Event()
        self._count = 0

    # What is known.

    @property
    def topics(self) -> tuple[Topic, ...]:
        return tuple(self._specs)

    @property
    def partitions(self) -> frozenset[int]:
        return frozenset(partition for _, partition in self._readings)

    def get(self, topic: Topic, key: str) -> TableRecord | None:
        """The record of a key in any partition that is read."""
        entry = self.entry(topic, key)
        return None if entry is None else entry.record

    def entry(self, topic: Topic, key: str) -> Entry | None:
        for (name, _), reading in self._readings.items():
            if name == topic and (entry := reading.served.entries.get(key)) is not None:
                return entry
        return None

    def items(self, topic: Topic, partition: int | None = None) -> Iterator[tuple[str, Entry]]:
        """A copy of the keys and entries of one partition, or of all that are read."""
        for (name, number), reading in list(self._readings.items()):
            if name == topic and partition in (None, number):
                yield from list(reading.served.entries.items())

    def records(self, topic: Topic, partition: int | None = None) -> list[TableRecord]:
        return [entry.record for _, entry in self.items(topic, partition)]

    def owner(self, topic: Topic, partition: int) -> Owner | None:
        return self.fold(topic, partition).owner

    def position(self, topic: Topic, partition: int) -> Position:
        fold = self.fold(topic, partition)
        return Position(fold.log, fold.position)

    def is_complete(self, partitions: Iterable[int], topics: Iterable[Topic] = ()) -> bool:
        """Whether nothing of these is missing; an incomplete table forbids removing anything."""
        return all(
            (reading := self._readings.get((topic, partition))) is not None
            and reading.building is None
            and reading.served.is_complete
            for partition in partitions
            for topic in topics or self._specs
        )

    def fold(self, topic: Topic, partition: int) -> Fold:
        """The fold that is served; an empty one where nothing is read."""
        reading = self._readings.get((topic, partition))
        return Fold(self._specs[topic]) if reading is None else reading.served

    # How it comes to be known.

    def listen(self, listener: Callable[[Batch], None]) -> None:
        self._listeners.append(listener)

    async def assign(self, partitions: Iterable[int]) -> None:
        """Read exactly these partitions of every topic: new ones from their start, others on."""
        async with self._assigning:
            wanted = {(topic, number) for topic in self._specs for number in sorted(partitions)}
            fresh = await self._begun(wanted - self._readings.keys())
            kept = {place: one for place, one in self._readings.items() if place in wanted}
            for place in self._readings.keys() - wanted:
                _give_up(self._readings[place])
            self._readings = {**kept, **fresh}
            self._point_consumer()

    async def caught_up(self, partitions: Iterable[int], timeout_seconds: float) -> None:
        """Return once all that was there at the assignment is folded, or raise BusUnavailable."""
        numbers = list(partitions)
        await self._until(lambda: self._is_caught_up(numbers), timeout_seconds, "be read")

    async def complete(self, partitions: Iterable[int], timeout_seconds: float) -> None:
        """Return once nothing is missing, or raise BusUnavailable."""
        numbers = list(partitions)
        await self._until(lambda: self.is_complete(numbers), timeout_seconds, "be complete")

    async def reached(self, topic: Topic, partition: int, offset: int) -> None:
        """Return once the record at this offset is folded; the caller sets the deadline."""
        reading = self._readings.get((topic, partition))
        if reading is None:
            raise BusUnavailable(f"{topic.value}/{partition} is not read here any more")
        if reading.building is None and reading.served.position > offset:
            return
        self._count += 1
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(reading.waiting, (offset, self._count, future))
        await future

    def key_of(self, record: TableRecord) -> str:
        """What the record is folded by."""
        return self._specs[record.topic].fold_key(record)

    def has_lost_keys(self, topic: Topic, partition: int) -> bool:
        reading = self._readings.get((topic, partition))
        return reading is not None and bool(reading.lost_keys)

    def give_back_lost_keys(self, topic: Topic, partition: int, keys: set[str]) -> None:
        if (reading := self._readings.get((topic, partition))) is not None:
            reading.lost_keys |= keys

    def take_lost_keys(self, topic: Topic, partition: int) -> set[str]:
        """Keys that a smaller term overwrote on the topic since this was asked last."""
        reading = self._readings.get((topic, partition))
        if reading is None:
            return set()
        lost, reading.lost_keys = reading.lost_keys, set()
        return lost

    async def __aenter__(self) -> Self:
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=self._settings.kafka_bootstrap_servers,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            fetch_max_wait_ms=self._settings.kafka_fetch_max_wait_ms,
        )
        await started(self._consumer, self._clock)
        self._task = asyncio.create_task(self._read(), name="tables")
        self._task.add_done_callback(self._ended)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for reading in self._readings.values():
            _give_up(reading)
        await asyncio.wait_for(self._consumer.stop(), ASK_TIMEOUT_SECONDS)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("tables are read no more", exc_info=error)
            self._process.stop(error)

    async def _begun(self, places: Iterable[Place]) -> dict[Place, _Reading]:
        """New readings with the offsets that exist now."""
        wanted = {place: TopicPartition(place[0].value, place[1]) for place in places}
        if not wanted:
            return {}
        try:
            first, last = await asyncio.wait_for(
                asyncio.gather(
                    self._consumer.beginning_offsets(list(wanted.values())),
                    self._consumer.end_offsets(list(wanted.values())),
                ),
                ASK_TIMEOUT_SECONDS,
            )
        except (KafkaError, asyncio.TimeoutError) as error:
            raise BusUnavailable(f"Kafka does not tell offsets: {error!r}") from error
        begun = {}
        for place, partition in wanted.items():
            start, end = first[partition], last[partition]
            fold = Fold(self._specs[place[0]], began_at=start, end_at=end, position=start)
            begun[place] = _Reading(Fold(self._specs[place[0]]), fold, moved_at=self._now())
        return begun

    def _point_consumer(self) -> None:
        """Without an await in between, so that nothing is fetched from a wrong offset."""
        self._consumer.assign(
            [TopicPartition(topic.value, number) for topic, number in self._readings]
        )
        for (topic, number), reading in self._readings.items():
            partition = TopicPartition(topic.value, number)
            self._consumer.seek(partition, reading.fold.position)
            self._swap_if_caught_up(topic, number, reading)
        if self._readings:
            self._assigned.set()
        else:
            self._assigned.clear()
        self._tell_progress()

    async def _read(self) -> None:
        while True:
            await self._assigned.wait()
            try:
                fetched = await self._consumer.getmany(timeout_ms=POLL_MS, max_records=RECORDS_MAX)
            except OffsetOutOfRangeError as error:
                await self._begin_again(error.args[0])
                continue
            except KafkaError as error:
                log.warning("tables cannot be read", error=repr(error))
                await self._clock.sleep(TRY_AGAIN_SECONDS)
                continue
            for partition, records in fetched.items():
                await self._fold_in(Topic(partition.topic), partition.partition, records)
            self._check_progress()
            self._tell_progress()

    async def _fold_in(self, topic: Topic, number: int, records: Sequence[Any]) -> None:
        changes: list[Change] = []
        for record in records:
            reading = self._readings.get((topic, number))
            if reading is None or record.offset < reading.fold.position:
                continue  # Taken away, or begun again, while this was under way.
            applied = await self._applied(reading, raw_record(record))
            if applied.is_other_log:
                await self._begin_again([TopicPartition(topic.value, number)])
                return
            if applied.lost_key is not None:
                reading.lost_keys.add(applied.lost_key)
            if reading.building is None:
                changes += applied.changes
        if (reading := self._readings.get((topic, number))) is not None:
            self._folded(topic, number, reading, changes)

    async def _applied(self, reading: _Reading, raw: RawRecord) -> Applied:
        try:
            return reading.fold.apply(raw)
        except Unreadable as error:
            try:
                await self._bury(raw, error)
            except TransientError as failure:
                log.error("a record cannot be buried", topic=raw.topic, error=str(failure))
            return Applied()

    def _folded(
        self, topic: Topic, number: int, reading: _Reading, changes: Sequence[Change]
    ) -> None:
        reading.moved_at = self._now()
        if reading.building is None:
            self._tell(topic, number, reading, changes, is_rebuilt=False)
        self._swap_if_caught_up(topic, number, reading)

    def _swap_if_caught_up(self, topic: Topic, number: int, reading: _Reading) -> None:
        """Serve what was folded from the start, once it holds all that was there."""
        building = reading.building
        if building is None or not building.is_caught_up:
            return
        changes = merged(reading.served, building)
        reading.served, reading.building = building, None
        log.info("table read", topic=topic.value, partition=number, keys=len(building.entries))
        self._tell(topic, number, reading, changes, is_rebuilt=True)

    def _tell(
        self,
        topic: Topic,
        number: int,
        reading: _Reading,
        changes: Sequence[Change],
        *,
        is_rebuilt: bool,
    ) -> None:
        position = Position(reading.served.log, reading.served.position)
        batch = Batch(topic, number, tuple(changes), position, is_rebuilt)
        for listener in self._listeners:
            listener(batch)
        while reading.waiting and reading.waiting[0][0] < position.next_offset:
            _, _, future = heapq.heappop(reading.waiting)
            if not future.done():
                future.set_result(None)

    async def _begin_again(self, partitions: Iterable[TopicPartition]) -> None:
        """The offsets are not those we knew: fold from the start what exists now."""
        places = [(Topic(one.topic), one.partition) for one in partitions]
        places = [place for place in places if place in self._readings]
        log.error("log changed, folding again", places=[(t.value, n) for t, n in places])
        try:
            fresh = await self._begun(places)
        except BusUnavailable as error:
            log.warning("tables cannot be read", error=str(error))
            await self._clock.sleep(TRY_AGAIN_SECONDS)
            return
        for place, reading in fresh.items():
            if place in self._readings:
                self._readings[place].building = reading.building
        self._point_consumer()

    def _is_caught_up(self, partitions: Iterable[int]) -> bool:
        return all(
            (reading := self._readings.get((topic, number))) is not None
            and reading.building is None
            for number in partitions
            for topic in self._specs
        )

    async def _until(self, is_so: Callable[[], bool], timeout_seconds: float, what: str) -> None:
        deadline = self._now() + timeout_seconds
        while not is_so():
            left = deadline - self._now()
            progress = self._progress
            try:
                await asyncio.wait_for(progress.wait(), max(0.0, left))
            except asyncio.TimeoutError:
                raise BusUnavailable(f"tables could not {what} in {timeout_seconds} s") from None

    def _tell_progress(self) -> None:
        self._progress.set()
        self._progress = asyncio.Event()

    def _check_progress(self) -> None:
        """A consumer that silently stopped is found out; the process then starts anew."""
        for (topic, number), reading in self._readings.items():
            ahead = self._consumer.highwater(TopicPartition(topic.value, number))
            if ahead is None or ahead <= reading.fold.position:
                reading.moved_at = self._now()
            elif self._now() - reading.moved_at > STUCK_SECONDS:
                raise BusUnavailable(f"{topic.value}/{number}: records wait but none is read")

    def _now(self) -> float:
        return self._clock.monotonic()


async def started(client: Any, clock: Clock) -> None:
    """Start a Kafka client, trying until the brokers answer; the caller may cancel."""
    while True:
        try:
            await client.start()
        except KafkaError as error:
            log.warning("Kafka does not answer", error=repr(error))
            await clock.sleep(clock.jittered(TRY_AGAIN_SECONDS))
        else:
            return


def _give_up(reading: _Reading) -> None:
    for _, _, future in reading.waiting:
        if not future.done():
            future.set_exception(BusUnavailable("the partition is not read here any more"))
            future.exception()  # Nobody may be waiting for it.
    reading.waiting.clear()
