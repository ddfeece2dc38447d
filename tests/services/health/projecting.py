"""A real Redis that can be killed, and real folds that a test feeds record by record."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from schemas.errors import StoreUnavailable
from schemas.events import InstanceStatusChanged, NodeStatusChanged
from schemas.messages import TableRecord
from schemas.projection import ProjectedTable, feed_key, head_key, table_key
from schemas.topics import Topic
from services.chassis.bus_records import RawRecord
from services.chassis.clock import SYSTEM_CLOCK
from services.chassis.endings import ended
from services.chassis.redis import Redis, connected
from services.chassis.tables import Batch, Position
from services.chassis.tables_fold import Entry, Fold
from services.embedded.redis_process import socket_arguments, socket_url
from services.health.app import SPECS
from services.health.projection import PartitionProjection
from services.health.projection_fold import TABLES, TOPICS, Folded, fold_of
from services.health.projection_redis import Identity, RedisPartition

PARTITION = 3
READY_SECONDS = 5.0
HEARTBEAT_SECONDS = 0.2
STATUS: TypeAdapter[NodeStatusChanged | InstanceStatusChanged] = TypeAdapter(
    NodeStatusChanged | InstanceStatusChanged
)


class RedisServer:
    """Started, killed, and started again: empty, or with the dump it finds."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "r.s"
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return socket_url(self.path)

    def start(self) -> None:
        self.process = subprocess.Popen(socket_arguments(self.path), cwd=self.directory)
        deadline = time.monotonic() + READY_SECONDS
        while not self._answers():
            assert time.monotonic() < deadline, "Redis did not start"
            time.sleep(0.005)

    def _answers(self) -> bool:
        """A socket file may stand before its server listens."""
        with socket.socket(socket.AF_UNIX) as client, suppress(OSError):
            client.connect(str(self.path))
            return True
        return False

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.path.unlink(missing_ok=True)


class FedTables:
    """The real fold of every topic of one partition, fed by the test; complete unless said."""

    def __init__(self) -> None:
        self.folds = {spec.topic: Fold(spec) for spec in SPECS}
        self.complete = True
        self.listeners: list[Callable[[Batch], None]] = []

    def feed(self, topic: Topic, raw: RawRecord) -> None:
        fold = self.folds[topic]
        applied = fold.apply(raw)
        position = self.position(topic, PARTITION)
        batch = Batch(topic, PARTITION, applied.changes, position, False)
        for listener in self.listeners:
            listener(batch)

    def put(self, record: TableRecord, seq: int, term: int = 1) -> None:
        self.feed(record.topic, raw_put(record, seq, term, self.folds[record.topic].position))

    def delete(self, record: TableRecord, seq: int, term: int = 1) -> None:
        offset = self.folds[record.topic].position
        self.feed(record.topic, raw_tombstone(record, seq, term, offset))

    def items(self, topic: Topic, partition: int | None = None) -> Iterator[tuple[str, Entry]]:
        yield from list(self.folds[topic].entries.items())

    def position(self, topic: Topic, partition: int) -> Position:
        return Position(f"log-{topic.value}", self.folds[topic].position)

    def is_complete(self, partitions: list[int], topics: tuple[Topic, ...]) -> bool:
        assert (partitions, topics) == ([PARTITION], TOPICS)
        return self.complete


def raw_put(record: TableRecord, seq: int, term: int, offset: int) -> RawRecord:
    value = record.model_copy(update={"term": term, "seq": seq}).model_dump_json().encode()
    return _raw(record, seq, term, offset, value=value)


def raw_tombstone(record: TableRecord, seq: int, term: int, offset: int) -> RawRecord:
    return _raw(record, seq, term, offset, value=None)


def _raw(record: TableRecord, *order: int, value: bytes | None) -> RawRecord:
    seq, term, offset = order
    headers = (("cellnode-term", str(term).encode()), ("cellnode-seq", str(seq).encode()))
    return RawRecord(record.topic.value, PARTITION, offset, record.key.encode(), value, headers)


def a_projection(tables: FedTables, redis: Redis, term: int = 1) -> PartitionProjection:
    projection = PartitionProjection(
        tables,
        RedisPartition(PARTITION, redis, SYSTEM_CLOCK),
        identity=lambda: Identity(term, "the log"),
        clock=SYSTEM_CLOCK,
        heartbeat_seconds=HEARTBEAT_SECONDS,
    )
    tables.listeners.append(projection.heard)
    return projection


@asynccontextmanager
async def running(
    tables: FedTables, url: str, term: int = 1, **timeouts: Any
) -> AsyncIterator[PartitionProjection]:
    async with connected(url, **timeouts) as redis:
        projection = a_projection(tables, redis, term)
        task = asyncio.create_task(projection.run())
        try:
            yield projection
        finally:
            await ended([task])


class Reader:
    """What a gateway sees of a partition, read as it reads."""

    def __init__(self, url: str, partition: int = PARTITION) -> None:
        self.redis = Redis(url, timeout_seconds=1.0)
        self.partition = partition

    async def head(self) -> dict[str, str]:
        fields = await self.redis.hgetall(head_key(self.partition))
        return {name.decode(): value.decode() for name, value in fields.items()}

    async def tables(self) -> Folded:
        incarnation = (await self.head()).get("incarnation", "")
        keys = [table_key(self.partition, incarnation, table) for table in TABLES]
        hashes = await self.redis.hgetalls(keys)
        return {
            table: {key.decode(): value for key, value in one.items()}
            for table, one in zip(TABLES, hashes, strict=True)
        }

    async def feed(self) -> list[dict[str, bytes]]:
        incarnation = (await self.head()).get("incarnation", "")
        stream = feed_key(self.partition, incarnation)
        entries = (await self.redis.xread({stream: "0"}, count=100, wait_seconds=0.01)).get(stream)
        return [
            {"id": one.id.encode(), **{name.decode(): value for name, value in one.fields.items()}}
            for one in entries or []
        ]

    async def equals(self, tables: Any, seconds: float = 5.0) -> None:
        """Within that time Redis holds, byte for byte, the fold of the tables."""
        deadline = time.monotonic() + seconds
        while True:
            with suppress(StoreUnavailable):
                if await self.tables() == fold_of(tables, self.partition) and await self.head():
                    return
            assert time.monotonic() < deadline, f"not equal within {seconds} s"
            await asyncio.sleep(0.01)

    async def replaced(self, incarnation: str, seconds: float = 5.0) -> str:
        """The incarnation that has followed on this one."""
        deadline = time.monotonic() + seconds
        while True:
            if (found := (await self.head()).get("incarnation", "")) not in ("", incarnation):
                return found
            assert time.monotonic() < deadline, f"not replaced within {seconds} s"
            await asyncio.sleep(0.01)

    def key(self, incarnation: str, table: ProjectedTable) -> str:
        return table_key(self.partition, incarnation, table)
