"""What the folds of several topics know, partition by partition: the questions one may ask."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from schemas.errors import BusUnavailable
from schemas.messages import TableRecord
from schemas.tables import Owner
from schemas.topics import Topic
from services.chassis.tables_fold import Change, Entry, Fold, TableSpec, merged

Place = tuple[Topic, int]


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
    is_history: bool = False  # Of a fold from the start that is not served yet.


Listener = Callable[[Batch], None]


@dataclass
class Reading:
    """One partition: what is served, and what is being folded from the start."""

    served: Fold
    building: Fold | None
    waiting: list[tuple[int, int, asyncio.Future[None]]] = field(default_factory=list)
    lost_keys: set[str] = field(default_factory=set)
    _count: int = 0

    @property
    def fold(self) -> Fold:
        """The one that the next record goes into."""
        return self.building or self.served

    @property
    def position(self) -> Position:
        return Position(self.served.log, self.served.position)

    def serve_if_caught_up(self) -> list[Change] | None:
        """Serve what was folded from the start, once it holds all that was there."""
        building = self.building
        if building is None or not building.is_caught_up:
            return None
        changes = merged(self.served, building)
        self.served, self.building = building, None
        return changes

    async def reached(self, offset: int) -> None:
        if self.building is None and self.served.position > offset:
            return
        self._count += 1
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self.waiting, (offset, self._count, future))
        await future

    def wake(self) -> None:
        """Those who wait for what is served now."""
        while self.waiting and self.waiting[0][0] < self.served.position:
            _, _, future = heapq.heappop(self.waiting)
            if not future.done():
                future.set_result(None)

    def give_up(self) -> None:
        for _, _, future in self.waiting:
            if not future.done():
                future.set_exception(BusUnavailable("the partition is not read here any more"))
                future.exception()  # Nobody may be waiting for it.
        self.waiting.clear()


class KnownTables:
    """The folds as they are now. Listeners are called for every batch; they must be quick."""

    def __init__(self, specs: Sequence[TableSpec]) -> None:
        self._specs = {spec.topic: spec for spec in specs}
        self._readings: dict[Place, Reading] = {}
        self._listeners: list[Listener] = []
        self._historians: list[Listener] = []

    @property
    def topics(self) -> tuple[Topic, ...]:
        return tuple(self._specs)

    @property
    def partitions(self) -> frozenset[int]:
        """Those that are read, complete or not."""
        return frozenset(partition for _, partition in self._readings)

    def listen(self, listener: Listener) -> None:
        """Call this for every batch, in the reading task; it may not raise and may not wait."""
        self._listeners.append(listener)

    def listen_from_start(self, listener: Listener) -> None:
        """Like `listen`, and for what is read before a partition is served, record by record."""
        self._listeners.append(listener)
        self._historians.append(listener)

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
        """Keys and entries of one partition, or of all that are read."""
        for (name, number), reading in list(self._readings.items()):
            if name == topic and partition in (None, number):
                yield from list(reading.served.entries.items())

    def records(self, topic: Topic, partition: int | None = None) -> list[TableRecord]:
        return [entry.record for _, entry in self.items(topic, partition)]

    def fold(self, topic: Topic, partition: int) -> Fold:
        """The fold that is served; an empty one where nothing is read."""
        reading = self._readings.get((topic, partition))
        return Fold(self._specs[topic]) if reading is None else reading.served

    def owner(self, topic: Topic, partition: int) -> Owner | None:
        return self.fold(topic, partition).owner

    def position(self, topic: Topic, partition: int) -> Position:
        fold = self.fold(topic, partition)
        return Position(fold.log, fold.position)

    def key_of(self, record: TableRecord) -> str:
        """What the record is folded by."""
        return self._specs[record.topic].fold_key(record)

    def is_caught_up(self, partitions: Iterable[int]) -> bool:
        """Whether all is folded that was there when reading began."""
        readings = [self._readings.get(place) for place in self._places(partitions)]
        return all(reading is not None and reading.building is None for reading in readings)

    def is_complete(self, partitions: Iterable[int], topics: Iterable[Topic] = ()) -> bool:
        """Whether nothing of these is missing; an incomplete table forbids removing anything."""
        readings = [self._readings.get(place) for place in self._places(partitions, topics)]
        return all(
            reading is not None and reading.building is None and reading.served.is_complete
            for reading in readings
        )

    def has_lost_keys(self, topic: Topic, partition: int) -> bool:
        reading = self._readings.get((topic, partition))
        return reading is not None and bool(reading.lost_keys)

    def take_lost_keys(self, topic: Topic, partition: int) -> set[str]:
        """Keys that a smaller term overwrote on the topic since this was asked last."""
        reading = self._readings.get((topic, partition))
        if reading is None:
            return set()
        lost, reading.lost_keys = reading.lost_keys, set()
        return lost

    def give_back_lost_keys(self, topic: Topic, partition: int, keys: set[str]) -> None:
        if (reading := self._readings.get((topic, partition))) is not None:
            reading.lost_keys |= keys

    def _places(self, partitions: Iterable[int], topics: Iterable[Topic] = ()) -> list[Place]:
        names = list(topics) or list(self._specs)
        return [(topic, number) for number in partitions for topic in names]

    def _tell_history(self, place: Place, fold: Fold, changes: Sequence[Change]) -> None:
        position = Position(fold.log, fold.position)
        batch = Batch(*place, tuple(changes), position, is_rebuilt=False, is_history=True)
        for listener in self._historians:
            listener(batch)

    def _tell(
        self, place: Place, reading: Reading, changes: Sequence[Change], *, is_rebuilt: bool
    ) -> None:
        batch = Batch(*place, tuple(changes), reading.position, is_rebuilt)
        for listener in self._listeners:
            listener(batch)
        reading.wake()
