"""The api in this process on a real broker and Redis, with provisioner and health where asked."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp

from services.api.app import wired
from services.api.settings import ApiSettings
from services.chassis.process import Process
from services.chassis.telemetry_traces import set_up_traces
from services.health.app import Health
from tests.services.health.world import healthy
from tests.services.provisioner.scenes import QUICK, a_checkpoint, running

PARTITIONS = 4
START_SECONDS = 15.0
QUIET = {"kafka_fetch_max_wait_ms": 10, "cellnode_create_topics": False}


@dataclass
class Reply:
    """An answer, read whole."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Of a problem; empty where it is none."""
        return str(self.json.get("code", ""))


class Client:
    """Plain HTTP to one api."""

    def __init__(self, address: str, session: aiohttp.ClientSession) -> None:
        self.origin = f"http://{address}"
        self.session = session

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Reply:
        """`body` is sent as JSON, bytes as they are; header names are given with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        data = None if body is None else BytesIO(_bytes(body))
        if body is not None:
            named.setdefault("Content-Type", "application/json")
        asked = self.session.request(method, self.origin + path, data=data, headers=named)
        async with asked as answer:
            return Reply(answer.status, answer.headers, await answer.read())

    async def get(self, path: str, **headers: str) -> Reply:
        return await self.ask("GET", path, **headers)


@dataclass
class World:
    """What a test looks at."""

    process: Process[ApiSettings]
    client: Client
    data: Path
    kafka: str
    redis_url: str
    checkpoint: str = ""
    health: Health | None = None

    def spec(self, **changes: Any) -> dict[str, Any]:
        wanted = {"cell": "y = x * factor", "inputs": ["x"], "outputs": ["y"]}
        return {"checkpoint": self.checkpoint, **wanted, **changes}

    async def apply(self, node: str, query: str = "", **spec: Any) -> Reply:
        return await self.client.ask("PUT", f"/v1/nodes/{node}{query}", self.spec(**spec))

    async def made(self, node: str, **spec: Any) -> dict[str, Any]:
        """A node that is HEALTHY."""
        reply = await self.apply(node, "?wait=HEALTHY&timeout_seconds=30", **spec)
        assert reply.status == 200, reply.body
        return dict(reply.json)

    async def gone(self, node: str) -> None:
        reply = await self.client.ask("DELETE", f"/v1/nodes/{node}?wait=GONE&timeout_seconds=30")
        assert reply.status == 200, reply.body


def a_process(kafka: str, redis_url: str, data: Path, **changes: Any) -> Process[ApiSettings]:
    given = {
        "kafka_bootstrap_servers": kafka,
        "redis_url": redis_url,
        "cellnode_data": data,
        "cellnode_partitions": PARTITIONS,
        "listen": "127.0.0.1:0",
        **QUIET,
        **changes,
    }
    return Process("api", ApiSettings.model_validate(given))


@asynccontextmanager
async def api(kafka: str, redis_url: str, data: Path, **changes: Any) -> AsyncIterator[World]:
    """The whole service inside this process, and a client of it."""
    process = a_process(kafka, redis_url, data, **changes)
    set_up_traces("api")
    async with AsyncExitStack() as stack:
        entered = wired(process)
        await asyncio.wait_for(stack.enter_async_context(entered), START_SECONDS)
        session = await stack.enter_async_context(new_session())
        yield World(process, Client(process.address, session), data, kafka, redis_url)
    assert process.failure is None, process.failure


@asynccontextmanager
async def system(kafka: str, redis_url: str, data: Path, **changes: Any) -> AsyncIterator[World]:
    """Api, provisioner and health, with a checkpoint in the store."""
    async with (
        running(kafka, data, **QUICK),
        healthy(kafka, redis_url, cellnode_data=data) as health,
        api(kafka, redis_url, data, **changes) as world,
    ):
        world.checkpoint, world.health = a_checkpoint(data), health
        await eventually(lambda: world.process.readiness.require("projection read").is_met)
        yield world


async def eventually(is_so: Callable[[], Any], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"not so within {seconds} s"
        await asyncio.sleep(0.005)


def _bytes(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def new_session() -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=0)
    return aiohttp.ClientSession(
        connector=connector, timeout=aiohttp.ClientTimeout(total=60), auto_decompress=True
    )
