"""Fixtures of the gateway's tests: its app in this process, a real Redis, instances that answer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import uvloop
from redis import Redis

from services.chassis.process import Process
from services.gateway.app import gateway
from services.gateway.settings import GatewaySettings
from tests.services.gateway.projecting import Projecting
from tests.services.gateway.waiting import until
from tests.services.gateway.world import World


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that the gateway really runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, because a socket's path must be."""
    with TemporaryDirectory(prefix="gw-", dir="/tmp") as path:
        yield Path(path)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as held:
        yield held


@pytest.fixture
def projecting(redis_url: str) -> Iterator[Projecting]:
    """A projection of no nodes, ready to be written to."""
    with Redis.from_url(redis_url) as redis:
        writing = Projecting(redis)
        writing.publish_empty()
        yield writing


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
        await until(lambda: process.readiness.is_ready)
        yield World(projecting, folder, stack, redis_url, site, process)
