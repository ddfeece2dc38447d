"""Fixtures of the gateway's tests: its app in this process, a real Redis, instances that answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import uvloop
from redis import Redis

from schemas.nodes import Node
from services.chassis.process import Process
from services.gateway.app import gateway
from services.gateway.gateway import Gateway
from services.gateway.settings import GatewaySettings
from tests.builders import a_node
from tests.services.gateway.agents import Agent, Asked, echoes
from tests.services.gateway.projecting import Projecting
from tests.services.gateway.wire import Reply, Wire

Behaviour = Callable[[Agent, Asked], Awaitable[bytes]]


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the gateway really runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because a socket's path must be."""
    with TemporaryDirectory(prefix="gw-", dir="/tmp") as path:
        yield Path(path)


@pytest.fixture
def projecting(redis_url: str) -> Iterator[Projecting]:
    """A projection of no nodes, ready to be written to."""
    with Redis.from_url(redis_url) as redis:
        writing = Projecting(redis)
        writing.publish_empty()
        yield writing


@dataclass
class World:
    """A gateway with its instances."""

    projecting: Projecting
    folder: Path
    stack: AsyncExitStack
    redis_url: str
    site: Gateway
    process: Process[GatewaySettings]
    wires: list[Wire] = field(default_factory=list)

    async def wire(self) -> Wire:
        wire = await Wire.to(self.process.address)
        self.stack.push_async_callback(wire.close)
        return wire

    async def agents(self, name: str, *behaviours: Behaviour, **spec: Any) -> list[Agent]:
        """A node whose instances behave so, routed already."""
        node = a_node(name, **spec)
        agents = [
            Agent(node.instance_id(n), self.folder / f"{name}{n}", behave)
            for n, behave in enumerate(behaviours, start=1)
        ]
        for agent in agents:
            await agent.listen()
            self.stack.push_async_callback(agent.vanish)
        self.projecting.serve(name, [agent.url for agent in agents], **spec)
        await self.routed(node, len(agents))
        return agents

    async def routed(self, node: Node, endpoints: int, seconds: float = 5.0) -> None:
        """Until the gateway routes to this many instances."""
        async with asyncio.timeout(seconds):
            while self.endpoints(node.place) != endpoints:
                await asyncio.sleep(0.001)

    def endpoints(self, place: str) -> int | None:
        node = self.site._copy.nodes.get(place)
        return None if node is None else len(node.endpoints)

    async def call(self, node: str, body: bytes = b"{}", **headers: str) -> Reply:
        wire = await self.wire()
        return await wire.call(node, body, **headers)

    @property
    def gauges(self) -> dict[str, float]:
        return self.site.gauges()


@pytest.fixture
def settings() -> dict[str, Any]:
    """A test that needs others overrides this fixture."""
    return {"drain_idle_seconds": 0.0, "drain_seconds_max": 5.0}


@pytest.fixture
async def world(
    redis_url: str, projecting: Projecting, folder: Path, settings: dict[str, Any]
) -> AsyncIterator[World]:
    given = {"redis_url": redis_url, "listen": "127.0.0.1:0", **settings}
    process = Process("gateway", GatewaySettings(**given))
    async with gateway(process) as site, AsyncExitStack() as stack:
        async with asyncio.timeout(5):
            while not process.readiness.is_ready:
                await asyncio.sleep(0.001)
        yield World(projecting, folder, stack, redis_url, site, process)


__all__ = ["World", "echoes"]
