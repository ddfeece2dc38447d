"""An outside program on the bus: bare aiokafka and JSON, nothing of ours."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from examples.deploy_from_the_bus import deploy, send
from tests.e2e.waiting import until

OUTCOME_SECONDS_MAX = 20.0
Json = dict[str, Any]


def publish(kafka: str, command: Json) -> Json:
    """One command, and its outcome."""
    return asyncio.run(asyncio.wait_for(send(kafka, command), OUTCOME_SECONDS_MAX))


def deploy_node(kafka: str, node: str, **spec: Any) -> Json:
    return publish(kafka, deploy(node, spec))


def a_command(kind: str, node: str, **fields: Any) -> Json:
    return {"kind": kind, "id": str(uuid4()), "node": node, **fields}


def publish_bytes(kafka: str, value: bytes, key: bytes) -> None:
    """Whatever an outside program may put on the topic of commands."""
    with Producer(kafka) as producer:
        producer.publish_bytes(value, key)


class Producer:
    """A producer that stays connected, for whoever measures."""

    def __init__(self, kafka: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._kafka = kafka

    def __enter__(self) -> Producer:
        self._loop.run_until_complete(self._connect())
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.run_until_complete(self._producer.stop())
        self._loop.close()

    async def _connect(self) -> None:
        self._producer = AIOKafkaProducer(bootstrap_servers=self._kafka)
        await self._producer.start()
        await self._producer.partitions_for("cellnode.commands")

    def publish(self, command: Json) -> None:
        key = f"{command.get('project', 'default')}/{command['node']}".encode()
        self.publish_bytes(json.dumps(command).encode(), key)

    def publish_bytes(self, value: bytes, key: bytes) -> None:
        sending = self._producer.send_and_wait("cellnode.commands", value, key=key)
        self._loop.run_until_complete(asyncio.wait_for(sending, OUTCOME_SECONDS_MAX))


@dataclass(frozen=True)
class Seen:
    """One record of a topic as it arrived here."""

    at: float  # time.monotonic()
    key: str
    value: Json | None

    @property
    def status(self) -> str:
        return str((self.value or {}).get("status", "gone"))

    @property
    def reason(self) -> str:
        return str((self.value or {}).get("reason", ""))


class Follower:
    """Reads one topic from its start in a thread of its own, as an outside consumer does."""

    def __init__(self, kafka: str, topic: str = "cellnode.statuses") -> None:
        self._kafka, self._topic = kafka, topic
        self._seen: list[Seen] = []
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=f"follow {topic}", daemon=True)

    def __enter__(self) -> Follower:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(10)
        assert not self._thread.is_alive(), "the follower does not end"

    def seen(self, key: str | None = None) -> list[Seen]:
        """All records, or those of one key, in the order of their arrival."""
        everything = list(self._seen)
        return everything if key is None else [one for one in everything if one.key == key]

    def statuses(self, key: str) -> list[str]:
        """The statuses that a key went through, repeats left out; `gone` for a tombstone."""
        found: list[str] = []
        for one in self.seen(key):
            if not found or found[-1] != one.status:
                found.append(one.status)
        return found

    def now(self, key: str) -> Seen | None:
        known = self.seen(key)
        return known[-1] if known else None

    def instances(self, node: str, status: str | None = None) -> list[str]:
        """The instances of a node that are not gone, or those in one status."""
        last = {one.key: one for one in self.seen() if not one.key.startswith("~")}
        return sorted(
            key
            for key, one in last.items()
            if one.value is not None
            and one.value.get("kind") == "InstanceStatusChanged"
            and one.value["node"] == node
            and status in (None, one.status)
        )

    def of(self, node: str) -> list[str]:
        """Every instance that the node ever had, in the order in which they were heard of."""
        found: dict[str, None] = {}
        for one in self.seen():
            if one.value and one.value.get("node") == node and "instance" in one.value:
                found[one.key] = None
        return list(found)

    def wait(self, key: str, status: str, *, after: float = 0.0, seconds: float = 15.0) -> Seen:
        """The first record of the key with that status that arrived after a moment."""

        def look() -> Seen | None:
            fitting = (one for one in self.seen(key) if one.status == status and one.at >= after)
            return next(fitting, None)

        try:
            return until(f"{key} is {status}", look, seconds=seconds)
        except AssertionError as error:
            story = [(one.status, one.reason) for one in self.seen(key)][-8:]
            raise AssertionError(f"{error}; its story: {story}") from None

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._follow())
        self._loop.close()

    async def _follow(self) -> None:
        consumer = AIOKafkaConsumer(
            self._topic,
            bootstrap_servers=self._kafka,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=5,
        )
        async with consumer:
            reading = asyncio.ensure_future(self._read(consumer))
            await self._stopping.wait()
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading

    async def _read(self, consumer: Any) -> None:
        async for record in consumer:
            key = (record.key or b"").decode(errors="replace")
            self._seen.append(Seen(time.monotonic(), key, readable(record.value)))


def readable(value: bytes | None) -> Json | None:
    """A record's JSON; raw bytes, as dead letters carry them, stay visible as such."""
    if value is None:
        return None
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(value)
        if isinstance(found, dict):
            return found
    return {"raw": repr(value)}
