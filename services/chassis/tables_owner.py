"""The one writer of a group's partitions: takes over by term, and defends what it wrote."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

from schemas.errors import BusUnavailable, NotOwner, TransientError
from schemas.ids import partition_of
from schemas.messages import TableRecord
from schemas.topics import DECLARATIONS, Topic
from services.chassis.endings import ended
from services.chassis.loops import Backoff
from services.chassis.process import Process
from services.chassis.settings import Settings
from services.chassis.tables import Batch, Tables
from services.chassis.tables_partition import OwnedPartition, Publishes
from services.chassis.telemetry import logger

R = TypeVar("R", bound=TableRecord)

TAKE_OVER_SECONDS = 60.0  # Until all that was there is read.
TAKE_OVER_TRIES = 5  # Against others who take over at the same moment.

log = logger("chassis.tables")


class OwnedTables:
    """Tables that this process alone writes, on the partitions that it has taken over.

    It is the `Ownership` of the group's topic. `topics[0]` gets the owner's mark first.
    """

    def __init__(
        self, process: Process[Any], bus: Publishes, tables: Tables, topics: Sequence[Topic]
    ) -> None:
        self._process = process
        self._settings: Settings = process.settings
        self._bus = bus
        self._tables = tables
        self._topics = tuple(topics)
        self._owned: dict[int, OwnedPartition] = {}
        self._tending: dict[tuple[Topic, int], asyncio.Task[None]] = {}
        self._after: list[Callable[[frozenset[int]], Awaitable[None]]] = []
        self.owner_id = process.clock.token()
        tables.listen(self._seen)

    @property
    def partitions(self) -> frozenset[int]:
        """Those that are owned now."""
        return frozenset(self._owned)

    def owns(self, place: str) -> bool:
        return self.partition_of(place) in self._owned

    def partition_of(self, place: str) -> int:
        return partition_of(place, self._settings.cellnode_partitions)

    def term(self, partition: int) -> int:
        """Of this process on that partition; NotOwner where it has none."""
        return self._of(partition).term

    def get(self, topic: Topic, key: str, place: str) -> TableRecord | None:
        """The last record of a key, this process's own writes under way included."""
        partition = self.partition_of(place)
        if (owned := self._owned.get(partition)) is not None:
            return owned.get(topic, key)
        entry = self._tables.fold(topic, partition).entries.get(key)
        return None if entry is None else entry.record

    def records(self, topic: Topic) -> list[TableRecord]:
        """All records of the owned partitions, own writes under way included."""
        owned = self._owned.values()
        return [record for one in owned for record in one.present(topic).values()]

    def after_take_over(self, act: Callable[[frozenset[int]], Awaitable[None]]) -> None:
        """Have `act` awaited with the partitions, before the first record of them is handled."""
        self._after.append(act)

    async def on_assigned(self, partitions: frozenset[int]) -> None:
        """As the group's ownership: these partitions and no others."""
        await self.take_over(partitions)
        for act in self._after:
            await act(partitions)

    async def on_revoked(self, partitions: frozenset[int]) -> None:
        self.release(partitions)

    async def take_over(self, partitions: Iterable[int]) -> None:
        """Fold, write the owner's marks under a larger term, read them back; then return."""
        numbers = sorted(partitions)
        await self._tables.assign(frozenset(numbers) | self.partitions)
        await self._tables.caught_up(numbers, TAKE_OVER_SECONDS)
        await asyncio.gather(*(self._take(number) for number in numbers))
        await self._read_what_others_write(numbers)

    def release(self, partitions: Iterable[int]) -> None:
        """Write nothing more to these; what is known of them stays readable."""
        for number in partitions:
            if (owned := self._owned.pop(number, None)) is not None:
                owned.is_released = True
        for place, task in list(self._tending.items()):
            if place[1] not in self._owned:
                task.cancel()

    async def close(self) -> None:
        """Release all, and wait for what was under way in the background."""
        tending = list(self._tending.values())
        self.release(self.partitions)
        await ended(tending)

    async def put(self, record: R, *, read_back: bool = True) -> R:
        """Write the full state of a key; return it as stamped, once it was read back."""
        owned = self._of(self.partition_of(record.place))
        return await owned.put(record, read_back=read_back)

    async def delete(self, topic: Topic, key: str, place: str, *, read_back: bool = True) -> None:
        """Write a tombstone; return once it was read back."""
        await self._of(self.partition_of(place)).delete(topic, key, read_back=read_back)

    async def proven(self, topic: Topic, partition: int) -> None:
        """Return once all writes to it are read back and have won, or raise NotOwner."""
        await self._of(partition).proven(topic)

    async def republish(self, topic: Topic, partition: int) -> None:
        """Write the whole table anew, so that a reader from any later offset knows all of it."""
        await self._of(partition).republish(topic)

    def _of(self, partition: int) -> OwnedPartition:
        if (owned := self._owned.get(partition)) is None:
            raise NotOwner(f"partition {partition} is not owned here")
        return owned

    async def _take(self, number: int) -> None:
        """With growing terms, until our marks were the first of their term everywhere."""
        for _ in range(TAKE_OVER_TRIES):
            known = [self._tables.fold(topic, number).term_max for topic in self._topics]
            one = self._partition(number, max(known) + 1)
            try:
                for topic in self._topics:
                    await one.mark(topic)
            except NotOwner:
                continue
            if all(one.is_marked(topic) for topic in self._topics):
                self._owned[number] = one
                log.info("partition taken over", partition=number, term=one.term)
                return
        raise NotOwner(f"partition {number} cannot be taken over: others try as well")

    async def _read_what_others_write(self, numbers: Sequence[int]) -> None:
        """What our predecessors wrote before our marks stands on what they had read of it.

        Who goes on reading a partition may be behind there, and must not take what it has not
        read for gone.
        """
        others = [topic for topic in self._tables.topics if topic not in self._topics]
        places = [(topic, number) for topic in others for number in numbers]
        if not places:
            return
        try:
            async with asyncio.timeout(TAKE_OVER_SECONDS):
                await self._tables.all_up_to_now(places)
        except TimeoutError:
            raise BusUnavailable(f"tables were not read in {TAKE_OVER_SECONDS} s") from None

    def _partition(self, number: int, term: int) -> OwnedPartition:
        return OwnedPartition(
            self._process,
            self._bus,
            self._tables,
            number=number,
            term=term,
            owner_id=self.owner_id,
        )

    def _seen(self, batch: Batch) -> None:
        """The fold moved: notice who took over, what was overwritten, what grew too long."""
        owned = self._owned.get(batch.partition)
        if owned is None or batch.topic not in self._topics:
            return
        owned.seen(batch.topic, batch.position)
        is_tended = (batch.topic, batch.partition) in self._tending
        if not owned.is_marked(batch.topic):
            self.release([batch.partition])
            self._process.stop(NotOwner(f"{batch.topic.value}/{batch.partition} was taken over"))
        elif not is_tended and self._needs(batch.topic, owned):
            self._tend(batch.topic, owned)

    def _needs(self, topic: Topic, owned: OwnedPartition) -> bool:
        if owned.is_released or not DECLARATIONS[topic].is_compacted:
            return False
        has_lost = self._tables.has_lost_keys(topic, owned.number)
        return has_lost or self._is_long(topic, owned.number)

    def _is_long(self, topic: Topic, partition: int) -> bool:
        """Whether so much was written that a bus that forgets needs the whole table again."""
        limit = self._settings.cellnode_republish_bytes
        fold = self._tables.fold(topic, partition)
        return 0 < limit < fold.bytes_since_complete and fold.is_complete

    def _tend(self, topic: Topic, owned: OwnedPartition) -> None:
        place = (topic, owned.number)
        task = asyncio.create_task(self._tended(topic, owned), name=f"tables.tend {place}")
        self._tending[place] = task
        task.add_done_callback(lambda done: self._tending_ended(place, done))

    async def _tended(self, topic: Topic, owned: OwnedPartition) -> None:
        """Until it is done or the partition is released; Kafka may be away for a while."""
        clock, failures = self._process.clock, 0
        while self._needs(topic, owned):
            lost = self._tables.take_lost_keys(topic, owned.number)
            try:
                await owned.defend(topic, sorted(lost))
                if self._is_long(topic, owned.number):
                    await owned.republish(topic)
            except NotOwner:
                return
            except TransientError as error:
                failures += 1
                self._tables.give_back_lost_keys(topic, owned.number, lost)
                log.warning("table not tended", topic=topic.value, error=str(error))
                await clock.sleep(Backoff(0.5, 15.0).delay_seconds(failures, clock))

    def _tending_ended(self, place: tuple[Topic, int], task: asyncio.Task[None]) -> None:
        del self._tending[place]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("table cannot be tended", exc_info=error)
            self._process.stop(error)
