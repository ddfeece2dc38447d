"""The one writer of a partition's tables: takes over by term, stamps, reads back, defends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel

from schemas.errors import BusUnavailable, NotOwner
from schemas.ids import partition_of
from schemas.messages import SEQ_HEADER, TERM_HEADER, TableRecord
from schemas.tables import COMPLETE_KEY, OWNER_KEY, Complete, Owner
from schemas.topics import DECLARATIONS, Topic
from services.chassis.process import Process
from services.chassis.settings import Settings
from services.chassis.tables import Batch, Tables
from services.chassis.telemetry import logger

R = TypeVar("R", bound=TableRecord)

TAKE_OVER_SECONDS = 60.0  # Until all that was there is read.
TAKE_OVER_TRIES = 5  # Against others who take over at the same moment.
REPUBLISHED_AT_ONCE = 200  # Records sent before waiting for their acknowledgement.

log = logger("chassis.tables")


class Publishes(Protocol):
    """What is needed of the bus."""

    async def publish_record(
        self,
        topic: Topic,
        key: str,
        value: bytes | None,
        *,
        partition: int,
        headers: dict[str, str],
    ) -> int: ...


@dataclass
class _Owned:
    """A partition that this process owns: its term, and the number of the last record."""

    term: int
    seq: int = 0
    written: dict[tuple[Topic, str], TableRecord | None] = field(default_factory=dict)


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
        self._owned: dict[int, _Owned] = {}
        self._marking: dict[tuple[Topic, int], asyncio.Lock] = {}
        self._tending: dict[tuple[Topic, int], asyncio.Task[None]] = {}
        self._after: list[Callable[[frozenset[int]], Awaitable[None]]] = []
        self.owner_id = process.clock.token()
        tables.listen(self._seen)

    @property
    def partitions(self) -> frozenset[int]:
        """Those that are owned now."""
        return frozenset(self._owned)

    def owns(self, place: str) -> bool:
        return self._partition(place) in self._owned

    def term(self, partition: int) -> int:
        """Of this process on that partition; NotOwner where it has none."""
        return self._ownership(partition).term

    def get(self, topic: Topic, key: str, place: str) -> TableRecord | None:
        """The last record of a key, this process's own writes under way included."""
        partition = self._partition(place)
        owned = self._owned.get(partition)
        if owned is not None and (topic, key) in owned.written:
            return owned.written[topic, key]
        entry = self._tables.fold(topic, partition).entries.get(key)
        return None if entry is None else entry.record

    def records(self, topic: Topic, partition: int) -> Iterator[TableRecord]:
        """All records of a partition, this process's own writes under way included."""
        yield from self._present(topic, partition).values()

    def after_take_over(self, act: Callable[[frozenset[int]], Awaitable[None]]) -> None:
        """Have `act` awaited with the partitions, before their first record is handled."""
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

    def release(self, partitions: Iterable[int]) -> None:
        """Write nothing more to these; what is known of them stays readable."""
        for number in partitions:
            self._owned.pop(number, None)
        for (topic, number), task in list(self._tending.items()):
            if number not in self._owned:
                task.cancel()
                del self._tending[topic, number]

    async def put(self, record: R, *, read_back: bool = True) -> R:
        """Write the full state of a key; return it as stamped, once it was read back."""
        partition = self._partition(record.place)
        owned = self._ownership(partition)
        stamped = self._stamped(owned, record)
        await self._write(owned, partition, stamped.topic, self._key(stamped), stamped, read_back)
        return stamped

    async def delete(self, topic: Topic, key: str, place: str, *, read_back: bool = True) -> None:
        """Write a tombstone; return once it was read back."""
        partition = self._partition(place)
        owned = self._ownership(partition)
        await self._write(owned, partition, topic, key, None, read_back)

    async def republish(self, topic: Topic, partition: int) -> None:
        """Write the whole table anew, between the owner's mark and the mark of completeness."""
        owned = self._ownership(partition)
        async with self._mark_lock(topic, partition):
            await self._mark(topic, partition, owned)
            keys = list(self._present(topic, partition))
            for start in range(0, len(keys), REPUBLISHED_AT_ONCE):
                some = keys[start : start + REPUBLISHED_AT_ONCE]
                await asyncio.gather(*(self._again(topic, partition, key) for key in some))
            offset = await self._mark_complete(topic, partition, owned)
            await self._read_back(topic, partition, offset)
        log.info("table republished", topic=topic.value, partition=partition, keys=len(keys))

    async def _take(self, partition: int) -> None:
        """Try with growing terms, until our marks were the first of their term everywhere."""
        for _ in range(TAKE_OVER_TRIES):
            known = [self._tables.fold(topic, partition).term_max for topic in self._topics]
            owned = _Owned(term=max(known) + 1)
            for topic in self._topics:
                async with self._mark_lock(topic, partition):
                    offset = await self._mark(topic, partition, owned)
                    await self._read_back(topic, partition, offset)
            if all(self._is_ours(topic, partition, owned) for topic in self._topics):
                self._owned[partition] = owned
                log.info("partition taken over", partition=partition, term=owned.term)
                return
        raise NotOwner(f"partition {partition} cannot be taken over from others who try as well")

    def _is_ours(self, topic: Topic, partition: int, owned: _Owned) -> bool:
        mark = self._tables.owner(topic, partition)
        return mark is not None and (mark.term, mark.owner) == (owned.term, self.owner_id)

    async def _mark(self, topic: Topic, partition: int, owned: _Owned) -> int:
        log_id = self._tables.fold(topic, partition).log or self._process.clock.token()
        mark = Owner(
            term=owned.term, owner=self.owner_id, log=log_id, at=self._process.clock.now()
        )
        return await self._send(owned, partition, topic, OWNER_KEY, mark)

    async def _mark_complete(self, topic: Topic, partition: int, owned: _Owned) -> int:
        log_id = self._tables.fold(topic, partition).log
        mark = Complete(term=owned.term, log=log_id, at=self._process.clock.now())
        return await self._send(owned, partition, topic, COMPLETE_KEY, mark)

    async def _again(self, topic: Topic, partition: int, key: str) -> None:
        """What is known of a key now, under a new number: stamped and sent without a pause."""
        owned = self._ownership(partition)
        known = self._present(topic, partition).get(key)
        if known is not None:
            known = self._stamped(owned, known)
        await self._write(owned, partition, topic, key, known, read_back=False)
