"""One partition under one term: stamps every record, sends it, and sees it in the fold."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel

from schemas.errors import BusUnavailable, NotOwner
from schemas.messages import SEQ_HEADER, TERM_HEADER, TableRecord
from schemas.tables import COMPLETE_KEY, OWNER_KEY, Complete, Owner
from schemas.topics import Topic
from services.chassis.process import Process
from services.chassis.tables import Position, Tables
from services.chassis.telemetry import logger

R = TypeVar("R", bound=TableRecord)

REPUBLISHED_AT_ONCE = 200  # Records sent before their acknowledgements are waited for.

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
class _Written:
    """A write under way: sent, and not yet seen in the fold."""

    record: TableRecord | None
    offset: int | None = None


class OwnedPartition:
    """The writer of one partition of several tables; its records carry its term."""

    def __init__(
        self,
        process: Process[Any],
        bus: Publishes,
        tables: Tables,
        *,
        number: int,
        term: int,
        owner_id: str,
    ) -> None:
        self._process = process
        self._bus = bus
        self._tables = tables
        self._owner_id = owner_id
        self._seq = 0
        self._written: dict[Topic, dict[str, _Written]] = {}
        self._acknowledged: dict[Topic, int] = {}  # The largest offset of a write.
        self._marking: dict[Topic, asyncio.Lock] = {}
        self.number = number
        self.term = term
        self.is_released = False

    def present(self, topic: Topic) -> dict[str, TableRecord]:
        """What every key is now, writes under way included."""
        entries = self._tables.fold(topic, self.number).entries
        known = {key: entry.record for key, entry in entries.items()}
        for key, written in self._written.get(topic, {}).items():
            known.pop(key, None)
            if written.record is not None:
                known[key] = written.record
        return known

    def get(self, topic: Topic, key: str) -> TableRecord | None:
        written = self._written.get(topic, {}).get(key)
        if written is not None:
            return written.record
        entry = self._tables.fold(topic, self.number).entries.get(key)
        return None if entry is None else entry.record

    def is_marked(self, topic: Topic) -> bool:
        """Whether our mark is the one that holds the topic's partition."""
        mark = self._tables.owner(topic, self.number)
        return mark is not None and (mark.term, mark.owner) == (self.term, self._owner_id)

    async def put(self, record: R, *, read_back: bool) -> R:
        """Stamp, send, and see the record in the fold."""
        topic, key = record.topic, self._tables.key_of(record)
        stamped = self._stamped(record)
        await self._write(topic, record.key, key, stamped, read_back=read_back)
        return stamped

    async def delete(self, topic: Topic, key: str, *, read_back: bool) -> None:
        self._seq += 1
        await self._write(topic, key, key, None, read_back=read_back)

    async def mark(self, topic: Topic) -> None:
        """Write the owner's mark and see it in the fold."""
        async with self._marking.setdefault(topic, asyncio.Lock()):
            await self._mark(topic)

    async def republish(self, topic: Topic) -> None:
        """Write the whole table anew between the owner's mark and that of completeness."""
        async with self._marking.setdefault(topic, asyncio.Lock()):
            await self._mark(topic)
            keys = list(self.present(topic))
            for start in range(0, len(keys), REPUBLISHED_AT_ONCE):
                some = keys[start : start + REPUBLISHED_AT_ONCE]
                await asyncio.gather(*(self._again(topic, key) for key in some))
            fold = self._tables.fold(topic, self.number)
            mark = Complete(term=self.term, log=fold.log, at=self._process.clock.now())
            await self._read_back(topic, await self._send_mark(topic, COMPLETE_KEY, mark))
        facts = {"topic": topic.value, "partition": self.number}
        log.info("table republished", keys=len(keys), **facts)

    async def defend(self, topic: Topic, keys: Sequence[str]) -> None:
        """Write again what a smaller term overwrote on the topic."""
        for key in keys:
            if key == OWNER_KEY:
                await self.mark(topic)
            elif self.get(topic, key) is None:
                await self.delete(topic, key, read_back=False)
            else:
                await self._again(topic, key)

    async def proven(self, topic: Topic) -> None:
        """Return once all that was written is read back and has won, or raise NotOwner."""
        if (offset := self._acknowledged.get(topic)) is not None:
            await self._read_back(topic, offset)

    def seen(self, topic: Topic, position: Position) -> None:
        """The fold has come this far: writes before it are not under way any more."""
        written = self._written.get(topic, {})
        for key, one in list(written.items()):
            if one.offset is not None and one.offset < position.next_offset:
                del written[key]

    async def _mark(self, topic: Topic) -> None:
        log_id = self._tables.fold(topic, self.number).log or self._process.clock.token()
        now = self._process.clock.now()
        mark = Owner(term=self.term, owner=self._owner_id, log=log_id, at=now)
        await self._read_back(topic, await self._send_mark(topic, OWNER_KEY, mark))

    async def _again(self, topic: Topic, key: str) -> None:
        """Under a new number what the key is now; between looking and sending nothing happens."""
        known = self.get(topic, key)
        if known is not None:
            await self.put(known, read_back=False)

    def _stamped(self, record: R) -> R:
        self._seq += 1
        return record.model_copy(update={"term": self.term, "seq": self._seq})

    async def _write(
        self, topic: Topic, key: str, fold_key: str, record: TableRecord | None, *, read_back: bool
    ) -> None:
        written = _Written(record)
        under_way = self._written.setdefault(topic, {})
        under_way[fold_key] = written
        try:
            value = None if record is None else record.model_dump_json(by_alias=True).encode()
            written.offset = await self._send(topic, key, value)
        finally:
            if written.offset is None and under_way.get(fold_key) is written:
                del under_way[fold_key]
        is_seen = self._tables.position(topic, self.number).next_offset > written.offset
        if is_seen and under_way.get(fold_key) is written:
            del under_way[fold_key]
        self._acknowledged[topic] = max(written.offset, self._acknowledged.get(topic, -1))
        if self.is_released:  # Perhaps taken over already, by this very process: it may have lost.
            raise NotOwner(f"partition {self.number} was released meanwhile")
        if read_back:
            await self._read_back(topic, written.offset)

    async def _send_mark(self, topic: Topic, key: str, mark: BaseModel) -> int:
        self._seq += 1
        return await self._send(topic, key, mark.model_dump_json().encode())

    async def _send(self, topic: Topic, key: str, value: bytes | None) -> int:
        if self.is_released:
            raise NotOwner(f"partition {self.number} is not owned any more")
        headers = {TERM_HEADER: str(self.term), SEQ_HEADER: str(self._seq)}
        return await self._bus.publish_record(
            topic, key, value, partition=self.number, headers=headers
        )

    async def _read_back(self, topic: Topic, offset: int) -> None:
        """Return once the fold holds what was sent, and nobody has taken the partition over."""
        seconds = self._process.settings.send_timeout_seconds
        try:
            await asyncio.wait_for(self._tables.reached(topic, self.number, offset), seconds)
        except asyncio.TimeoutError:
            raise BusUnavailable(f"{topic.value}: not read back in {seconds} s") from None
        if self._tables.fold(topic, self.number).term > self.term:
            raise NotOwner(f"partition {self.number} of {topic.value} was taken over")
