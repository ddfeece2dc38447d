"""The demo's view of cellnode from outside: start it, follow its statuses, call it over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiokafka import AIOKafkaConsumer

START_SECONDS_MAX = 45.0
STOP_SECONDS_MAX = 10.0
STATUS_SECONDS_MAX = 60.0
CALL_SECONDS_MAX = 30.0
ROUTED_TRIES_MAX, ROUTED_PAUSE_SECONDS = 50, 0.05
Json = dict[str, Any]


@asynccontextmanager
async def running(data: Path, gateway: str) -> AsyncIterator[Json]:
    """`cellnode up` in a child process; yields what it wrote into addresses.json."""
    command = (sys.executable, "-m", "cellnode", "up", "--quiet")
    child = await asyncio.create_subprocess_exec(
        *command, "--data", str(data), "--gateway", gateway, start_new_session=True
    )
    try:
        yield await asyncio.wait_for(_addresses(data, child), START_SECONDS_MAX)
    finally:
        if child.returncode is None:
            child.send_signal(signal.SIGINT)
        await asyncio.wait_for(child.wait(), STOP_SECONDS_MAX)


async def _addresses(data: Path, child: asyncio.subprocess.Process) -> Json:
    file = data / "addresses.json"
    while not _is_there(file):
        if child.returncode is not None:
            raise SystemExit("cellnode up ended; it has said why")
        await asyncio.sleep(0.02)
    addresses: Json = json.loads(_read(file))
    return addresses


def _is_there(file: Path) -> bool:
    return file.exists()


def _read(file: Path) -> bytes:
    return file.read_bytes()


@dataclass(frozen=True)
class StatusEvent:
    """One record of `cellnode.statuses`, with the moment at which it was heard."""

    at: float
    key: str
    status: str
    value: Json

    @property
    def is_instance(self) -> bool:
        return self.value.get("kind") == "InstanceStatusChanged"


Show = Callable[[StatusEvent], None]


class Statuses:
    """An outside consumer of `cellnode.statuses`: knows nothing but the topic and its JSON."""

    def __init__(self, kafka: str, show: Show) -> None:
        self._kafka, self._show = kafka, show
        self.last: dict[str, StatusEvent] = {}
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def followed(self) -> AsyncIterator[Statuses]:
        consumer = AIOKafkaConsumer(
            "cellnode.statuses",
            bootstrap_servers=self._kafka,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=10,
        )
        async with consumer:
            reading = asyncio.ensure_future(self._read(consumer))
            try:
                yield self
            finally:
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)

    async def until(self, holds: Callable[[Statuses], bool]) -> None:
        """Wait until what has been heard fulfils the condition."""
        async with self._changed:
            await asyncio.wait_for(self._changed.wait_for(lambda: holds(self)), STATUS_SECONDS_MAX)

    def instances(self, node: str, status: str = "HEALTHY") -> list[str]:
        """The instances of a node that are in a status."""
        return sorted(
            event.key
            for event in self.last.values()
            if event.is_instance and event.value["node"] == node and event.status == status
        )

    def is_healthy(self, node: str, count: int) -> bool:
        event = self.last.get(f"default/{node}")
        enough = len(self.instances(node)) >= count
        return event is not None and event.status == "HEALTHY" and enough

    async def _read(self, consumer: Any) -> None:
        async for record in consumer:
            key = record.key.decode()
            if not key.startswith("~"):  # Marks of the partition's owner.
                await self._heard(key, json.loads(record.value or b"null"))

    async def _heard(self, key: str, value: Json | None) -> None:
        before = self.last.get(key)
        known = before.value if before else {}
        status = "gone" if value is None else value["status"]
        event = StatusEvent(time.monotonic(), key, status, value or known)
        self.last[key] = event
        if before is None or before.status != status:
            self._show(event)
        async with self._changed:
            self._changed.notify_all()


@dataclass
class Calls:
    """What a series of calls brought."""

    outputs: list[Json | None] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def p50_ms(self) -> float:
        return statistics.median(self.seconds) * 1000

    @property
    def p99_ms(self) -> float:
        return statistics.quantiles(self.seconds, n=100)[98] * 1000


class NotExecuted(aiohttp.ClientError):
    """A refusal with the proof that no cell has run: sending it again is always right."""


class Client:
    """Calls one node over HTTP, several requests at a time."""

    def __init__(self, gateway: str, node: str, connections: int = 8) -> None:
        self._url = f"{gateway}/v1/nodes/{node}:execute"
        self._connections = connections
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=CALL_SECONDS_MAX),
            connector=aiohttp.TCPConnector(limit=connections),
        )

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def call(self, **inputs: Any) -> Json:
        """One request; a problem that the node or the gateway tells is raised."""
        async with self._session.post(self._url, json={"input": inputs}) as response:
            body: Json = await response.json(content_type=None)
            if response.headers.get("Cellnode-Not-Executed") == "true":
                raise NotExecuted(str(body.get("detail", body)))
            if response.status != 200:
                raise aiohttp.ClientError(f"{response.status} {body.get('detail', body)}")
            output: Json = body["output"]
            return output

    async def call_when_routed(self, **inputs: Any) -> Json:
        """The first request: a gateway hears of a new instance a moment after we do."""
        for _ in range(ROUTED_TRIES_MAX):
            try:
                return await self.call(**inputs)
            except NotExecuted:
                await asyncio.sleep(ROUTED_PAUSE_SECONDS)
        return await self.call(**inputs)

    async def call_all(self, inputs: list[Json], done: Callable[[], None]) -> Calls:
        """Every input once; outputs stand in the order of the inputs."""
        calls = Calls(outputs=[None] * len(inputs))
        waiting = list(reversed(list(enumerate(inputs))))

        async def one_connection() -> None:
            while waiting:
                place, given = waiting.pop()
                calls.outputs[place] = await self._timed(calls, given)
                done()

        await asyncio.gather(*(one_connection() for _ in range(self._connections)))
        return calls

    @asynccontextmanager
    async def under_load(self, inputs: list[Json]) -> AsyncIterator[Calls]:
        """The inputs over and over, for as long as this is entered."""
        calls, over = Calls(), asyncio.Event()

        async def one_connection(first: int) -> None:
            place = first
            while not over.is_set():
                await self._timed(calls, inputs[place % len(inputs)])
                place += self._connections

        tasks = [asyncio.ensure_future(one_connection(n)) for n in range(self._connections)]
        try:
            yield calls
        finally:
            over.set()
            await asyncio.gather(*tasks)

    async def _timed(self, calls: Calls, inputs: Json) -> Json | None:
        begun = time.perf_counter()
        try:
            return await self.call(**inputs)
        except (aiohttp.ClientError, asyncio.TimeoutError) as error:
            calls.failures.append(str(error) or type(error).__name__)
            return None
        finally:
            calls.seconds.append(time.perf_counter() - begun)


async def until_interrupted() -> None:
    """Until Ctrl-C, SIGTERM or the end of the terminal, which `interruptible` turns into this."""
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


def interruptible() -> None:
    """Ctrl-C, SIGTERM and SIGHUP cancel the running task, so that whatever was started is ended."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
