"""The world around health: who writes nodes and instances, agents as processes, who follows."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas.events import InstanceStatusChanged, NodeStatusChanged
from schemas.ids import partition_of
from schemas.instances import Instance
from schemas.messages import SEQ_HEADER, TERM_HEADER, TableRecord
from schemas.nodes import Node
from schemas.statuses import Reason
from schemas.tables import OWNER_KEY, Owner
from schemas.topics import Topic
from services.chassis.clock import SYSTEM_CLOCK
from services.chassis.process import Process
from services.health.app import Health, health
from services.health.settings import HealthSettings
from tests.builders import a_node, an_instance

PARTITIONS = 4
AGENT = Path(__file__).with_name("agent_process.py")
START_SECONDS = 15.0

Event = InstanceStatusChanged | NodeStatusChanged


def a_process(kafka: str, redis_url: str, **changes: Any) -> Process[HealthSettings]:
    given = {
        "kafka_bootstrap_servers": kafka,
        "kafka_fetch_max_wait_ms": 10,
        "kafka_session_timeout_ms": 3_000,
        "redis_url": redis_url,
        "cellnode_create_topics": False,
        "cellnode_partitions": PARTITIONS,
        "tend_seconds": 0.2,
        **changes,
    }
    return Process("health", HealthSettings.model_validate(given))


@asynccontextmanager
async def healthy(kafka: str, redis_url: str, **changes: Any) -> AsyncIterator[Health]:
    """Health with its partitions taken over."""
    process = a_process(kafka, redis_url, **changes)
    async with health(process) as service:
        condition = process.readiness.require("partitions taken over")
        deadline = time.monotonic() + START_SECONDS
        while not condition.is_met:
            assert time.monotonic() < deadline, "the partitions were not taken over"
            await asyncio.sleep(0.005)
        yield service
    assert process.failure is None, process.failure


class Wishes:
    """Writes nodes, aliases and instances, as the provisioner does: stamped and in order."""

    def __init__(self, producer: Any, term: int = 1) -> None:
        self.producer = producer
        self.term, self.seq = term, 0

    async def take_over(self) -> None:
        for topic in (Topic.NODES, Topic.ALIASES, Topic.INSTANCES):
            for partition in range(PARTITIONS):
                mark = Owner(term=self.term, owner="wishes", log=f"l{partition}", at=_now())
                body = mark.model_dump_json().encode()
                await self.producer.send(
                    topic.value, body, key=OWNER_KEY.encode(), partition=partition
                )
        await self.producer.flush()

    async def put(self, *records: TableRecord) -> None:
        for record in records:
            self.seq += 1
            stamped = record.model_copy(update={"term": self.term, "seq": self.seq})
            await self._send(stamped.topic, stamped.key, stamped.place, stamped.model_dump_json())
        await self.producer.flush()

    async def delete(self, *records: TableRecord) -> None:
        for record in records:
            self.seq += 1
            await self._send(record.topic, record.key, record.place, None)
        await self.producer.flush()

    async def _send(self, topic: Topic, key: str, place: str, value: str | None) -> None:
        headers = [(TERM_HEADER, str(self.term).encode()), (SEQ_HEADER, str(self.seq).encode())]
        body = None if value is None else value.encode()
        partition = partition_of(place, PARTITIONS)
        await self.producer.send(
            topic.value, body, key=key.encode(), partition=partition, headers=headers
        )


@asynccontextmanager
async def wishes(kafka: str) -> AsyncIterator[Wishes]:
    async with AIOKafkaProducer(bootstrap_servers=kafka, acks="all") as producer:
        writer = Wishes(producer)
        await writer.take_over()
        yield writer


class Follower:
    """An outside consumer of `statuses`: all events in order, and the present state."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.present: dict[str, Event] = {}
        self.buried: list[str] = []

    def hear(self, key: str, value: bytes | None) -> None:
        if key.startswith("~"):
            return
        if value is None:
            if self.present.pop(key, None) is not None:  # A tombstone may be told again.
                self.buried.append(key)
            return
        kind = json.loads(value)["kind"]
        model = NodeStatusChanged if kind == "NodeStatusChanged" else InstanceStatusChanged
        event = model.model_validate_json(value)
        self.events.append(event)
        self.present[key] = event

    def of(self, key: str) -> list[Event]:
        return [event for event in self.events if event.key == key]

    def statuses(self, key: str) -> list[str]:
        return [event.status.value for event in self.of(key)]

    def is_now(self, key: str, status: str, reason: str = "") -> bool:
        event = self.present.get(key)
        fits = event is not None and event.status.value == status
        return fits and event is not None and reason in ("", event.reason.value)

    def was_told_that_it_leaves(self, key: str) -> bool:
        """Whether the last event of a key is DELETING, and its history goes on from before."""
        last = self.of(key)[-1]
        said = [step.status for step in last.transitions[-2:]]
        is_asked = last.reason is Reason.DELETE_REQUESTED and last.since == last.at
        return is_asked and said[-1] == last.status.value == "DELETING" and len(said) == 2


@asynccontextmanager
async def following(kafka: str) -> AsyncIterator[Follower]:
    follower = Follower()
    async with AIOKafkaConsumer(bootstrap_servers=kafka, fetch_max_wait_ms=5) as consumer:
        places = [TopicPartition(Topic.STATUSES.value, n) for n in range(PARTITIONS)]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)

        async def follow() -> None:
            async for record in consumer:
                follower.hear(record.key.decode(), record.value)

        task = asyncio.create_task(follow())
        try:
            yield follower
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


class AgentProcess:
    """A small agent in a process of its own."""

    def __init__(self, path: Path, instance: str) -> None:
        self.endpoint = f"unix:{path}"
        command = [sys.executable, str(AGENT), str(path), instance]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE)

    def tell(self, **told: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(told).encode() + b"\n")
        self.process.stdin.flush()

    def ready(self) -> None:
        for phase in ("started", "preparing", "ready"):
            self.tell(phase=phase)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        self.process.kill()
        self.process.wait()


def wanted(node: Node, n: int = 1) -> Instance:
    now = _now()
    return an_instance(node, n, wanted_at=now, at=now)


def created(fact: Instance, endpoint: str) -> Instance:
    now = _now()
    return fact.with_fact("InstanceCreated", now, created_at=now, endpoint=endpoint)


def exited(fact: Instance, signal_number: int = 9) -> Instance:
    now = _now()
    ended = {"signal": signal_number, "at": now, "last_lines": ("the last line",)}
    return fact.with_fact("InstanceExited", now, exited=ended)


def refused(fact: Instance, reason: str, *difference: str) -> Instance:
    now = _now()
    told = {"reason": reason, "at": now, "retry_at": now, "times": 1, "difference": difference}
    return fact.with_fact("InstanceRefused", now, refused=told)


def deleting(fact: Instance) -> Instance:
    now = _now()
    gone = {"reason": "SCALED_DOWN", "at": now}
    return fact.with_fact("InstanceDeleting", now, deleting=gone)


def a_fresh_node(name: str = "digits", *, uid: int = 0, **spec: Any) -> Node:
    """Made now, so that nothing is overdue."""
    node = a_node(name, **spec)
    changes: dict[str, Any] = {"created_at": _now(), "generation_at": _now(), "at": _now()}
    if uid:
        changes["uid"] = UUID(int=uid << 100)
    return node.model_copy(update=changes)


def _now() -> Any:
    return SYSTEM_CLOCK.now()
