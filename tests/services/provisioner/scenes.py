"""A provisioner on a real broker with real instances, and the outside programs around it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from cellnode import pin
from schemas.events import InstanceStatusChanged
from schemas.ids import partition_of
from schemas.instances import Instance
from schemas.messages import Message
from schemas.statuses import SENTENCES, InstanceStatus, Reason, Transition
from schemas.topics import Topic
from services.chassis.clock import SYSTEM_CLOCK
from services.chassis.process import Process
from services.provisioner.app import provisioner
from services.provisioner.settings import ProvisionerSettings
from tests.builders import an_id

PARTITIONS = 4
START_SECONDS = 15.0
QUICK = {
    "kafka_fetch_max_wait_ms": 10,
    "kafka_session_timeout_ms": 3_000,
    "cellnode_create_topics": False,
    "cellnode_partitions": PARTITIONS,
    "drain_seconds_min": 0.1,
    "drain_seconds_max": 2.0,
    "deleting_seen_seconds": 0.5,
    "unknown_after_seconds": 0.3,
}

Until = Callable[..., Awaitable[None]]
Records = dict[str, dict[str, Any]]


def a_checkpoint(data: Path, **variables: Any) -> str:
    """Pinned for real into the store of the data directory; its digest."""
    store = data / "store"
    made = pin("scene", namespace=variables or {"factor": 3}, store=store, check=False)
    return made.digest


def a_deployment(digest: str, number: int = 1, want: int = 1, **spec: Any) -> dict[str, Any]:
    """DeployNode as the documentation has it."""
    wanted = {"cell": "y = x * factor", "inputs": ["x"], "outputs": ["y"], **spec}
    spec = {"checkpoint": digest, "instances": {"want": want}, **wanted}
    return command("DeployNode", number, spec=spec)


def command(kind: str, number: int, **given: Any) -> dict[str, Any]:
    return {"kind": kind, "id": str(an_id(number)), "node": "digits", **given}


def began_at(pid: int) -> datetime:
    """As the kernel has it, to about 20 ms."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return SYSTEM_CLOCK.now() - timedelta(seconds=age)


def pid_of(fact: dict[str, Any]) -> int:
    """Of the instance's agent."""
    return int(fact["handle"]["pid"])


@asynccontextmanager
async def running(kafka: str, data: Path, **changes: Any) -> AsyncIterator[Process[Any]]:
    """The whole service inside this process."""
    given = {"kafka_bootstrap_servers": kafka, "cellnode_data": data, **QUICK, **changes}
    process = Process("provisioner", ProvisionerSettings.model_validate(given))
    entered = provisioner(process)
    await asyncio.wait_for(entered.__aenter__(), START_SECONDS)
    try:
        yield process
    finally:
        await entered.__aexit__(None, None, None)
    assert process.failure is None


class Outside:
    """A program that knows the documented JSON only: it sends, and follows every topic."""

    def __init__(self, kafka: str) -> None:
        self._producer = AIOKafkaProducer(bootstrap_servers=kafka)
        self._consumer = AIOKafkaConsumer(bootstrap_servers=kafka, fetch_max_wait_ms=10)
        self._told = 0
        self.log: list[tuple[str, str, dict[str, Any] | None]] = []
        self.tables: dict[Topic, Records] = {topic: {} for topic in Topic}
        self.written_ms: dict[str, int] = {}  # When the last record of a key was written.

    async def __aenter__(self) -> Outside:
        await self._producer.start()
        await self._consumer.start()
        places = [TopicPartition(topic.value, n) for topic in Topic for n in range(PARTITIONS)]
        self._consumer.assign(places)
        await self._consumer.seek_to_beginning()
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._consumer.stop()
        await self._producer.stop()

    async def send(
        self, body: Message | dict[str, Any] | bytes, topic: Topic | None = None
    ) -> None:
        if isinstance(body, Message):
            topic, place, key = body.topic, body.place, body.key
            value = body.model_dump_json(by_alias=True).encode()
        else:
            name = body.get("node", "?") if isinstance(body, dict) else "?"
            topic, place = Topic.COMMANDS, f"default/{name}"
            key = place
            value = body if isinstance(body, bytes) else json.dumps(body).encode()
        partition = partition_of(place, PARTITIONS)
        await self._producer.send_and_wait(
            topic.value, value, key=key.encode(), partition=partition
        )

    async def send_to(self, partition: int, body: dict[str, Any]) -> None:
        """To a partition of one's own choice."""
        value = json.dumps(body).encode()
        await self._producer.send_and_wait(Topic.COMMANDS.value, value, partition=partition)

    async def tell_status(
        self, fact: dict[str, Any], status: InstanceStatus, reason: Reason = Reason.READY
    ) -> None:
        """As health would say it of this instance."""
        known = Instance.model_validate(fact)
        now = SYSTEM_CLOCK.now()
        self._told += 1
        event = InstanceStatusChanged(
            seq=self._told,
            id=SYSTEM_CLOCK.uuid(),
            at=now,
            since=now,
            project=known.project,
            node=known.node,
            uid=known.uid,
            generation=known.generation,
            instance=known.instance,
            revision=known.revision,
            status=status,
            reason=reason,
            sentence=SENTENCES[reason],
            endpoint=known.endpoint,
            transitions=(Transition(status=status.value, reason=reason, at=now),),
        )
        await self.send(event)

    async def settled(self) -> None:
        """Return when the provisioner has certainly read what was sent before, and acted on it:
        an unrelated command has been answered, and several of its fetches have passed."""
        body = {"kind": "DeleteNode", "id": str(SYSTEM_CLOCK.uuid()), "node": "digits-beside"}
        await self.send(body)
        deadline = SYSTEM_CLOCK.monotonic() + 5
        while not self.outcomes(body["id"]):
            assert SYSTEM_CLOCK.monotonic() < deadline
            await asyncio.sleep(0.005)
        await asyncio.sleep(0.15)

    def outcomes(self, command: object = None) -> list[dict[str, Any]]:
        return [
            body
            for topic, _, body in self.log
            if topic == Topic.OUTCOMES.value
            and body is not None
            and "command" in body
            and command in (None, body["command"])
        ]

    def instances(self, kind: str | None = None) -> list[dict[str, Any]]:
        found = [one for key, one in self.tables[Topic.INSTANCES].items() if key[0] != "~"]
        return [one for one in found if kind in (None, one["kind"])]

    def facts(self, instance: str) -> list[str]:
        """The kinds of all facts about an instance in their order; `gone` is its tombstone."""
        of = [(key, body) for topic, key, body in self.log if topic == Topic.INSTANCES.value]
        return [body["kind"] if body else "gone" for key, body in of if key == instance]

    def exit_of(self, instance: str) -> dict[str, Any]:
        """As the last fact about it that told of its exit."""
        told = [body for _, key, body in self.log if key == instance and body]
        (exit,) = {json.dumps(body["exited"]) for body in told if body.get("exited")}
        return dict(json.loads(exit))

    async def _follow(self) -> None:
        async for record in self._consumer:
            key = (record.key or b"").decode()
            try:
                body = json.loads(record.value) if record.value is not None else None
            except (ValueError, RecursionError):
                body = {"raw": record.value}
            topic = Topic(record.topic)
            self.written_ms[key] = record.timestamp
            self.log.append((record.topic, key, body))
            if body is None:
                self.tables[topic].pop(key, None)
            else:
                self.tables[topic][key] = body


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def is_listening(endpoint: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(endpoint.removeprefix("unix:")) == 0


def living_in(data: Path) -> list[int]:
    """Every process that was started for an instance of this data directory."""
    mark = os.fsencode(data)
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            told = Path(f"/proc/{name}/cmdline").read_bytes()
            has = Path(f"/proc/{name}/environ").read_bytes()
        except OSError:
            continue
        is_part = (b"runtime" in told and mark in told) or b"HOME=" + mark in has
        if is_part and is_alive(int(name)):
            found.append(int(name))
    return found


def command_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def environment_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/environ").read_bytes()
