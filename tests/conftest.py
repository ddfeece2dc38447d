"""Fixtures for all tests: a fresh broker, a fresh Redis, a wait with a bound. Never imported."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from schemas.topics import Topic
from services.embedded.broker import EmbeddedBroker
from services.embedded.redis_process import socket_arguments, socket_url
from tests.servers import ApacheKafka, NotInstalled, RedisServer

# A shell that starts the tests in the background has them ignore Ctrl-C, and so would all children.
signal.signal(signal.SIGINT, signal.default_int_handler)

PARTITIONS = 4
UNTIL_SECONDS = 20.0  # On a machine that is busy with other things, too.
REDIS_READY_SECONDS = 5.0

Until = Callable[..., Awaitable[None]]


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    """A fresh Kafka broker with every topic, and its faults (`down`, `up`, `slow`)."""
    with EmbeddedBroker([topic.value for topic in Topic], PARTITIONS) as running:
        yield running


@pytest.fixture
def kafka(broker: EmbeddedBroker) -> str:
    """The address of a fresh broker."""
    return broker.address


@pytest.fixture
def redis_url() -> Iterator[str]:
    """A fresh Redis-compatible server on a Unix socket, killed afterwards."""
    with tempfile.TemporaryDirectory(prefix="redis-", dir="/tmp") as directory:
        path = Path(directory) / "s"
        server = subprocess.Popen(socket_arguments(path), cwd=directory)
        try:
            _wait_for(path)
            yield socket_url(path)
        finally:
            server.kill()
            server.wait()


@pytest.fixture(scope="session")
def apache_kafka() -> Iterator[ApacheKafka]:
    """One Apache Kafka for all tests of this process; without topics, which tests make."""
    try:
        server = ApacheKafka()
    except NotInstalled as error:
        pytest.skip(str(error))
    with server:
        yield server


@pytest.fixture(scope="session")
def debian_redis() -> Iterator[RedisServer]:
    """One of Debian's redis-server for all tests of this process; who uses it empties it."""
    try:
        server = RedisServer()
    except NotInstalled as error:
        pytest.skip(str(error))
    with server:
        yield server


@pytest.fixture
def until() -> Until:
    """`await until(lambda: ...)`: true within its seconds, or the test fails."""

    async def wait(is_so: Callable[[], object], seconds: float = UNTIL_SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < deadline, f"not so within {seconds} s"
            await asyncio.sleep(0.005)

    return wait


@pytest.fixture
async def tasks() -> AsyncIterator[Callable[..., asyncio.Task[None]]]:
    """Start a coroutine beside the test; it is cancelled at the end, its failure is the test's."""
    started: list[asyncio.Task[None]] = []

    def start(coroutine: Awaitable[None]) -> asyncio.Task[None]:
        started.append(asyncio.ensure_future(coroutine))
        return started[-1]

    yield start
    for task in started:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + REDIS_READY_SECONDS
    while not _answers(path):
        assert time.monotonic() < deadline, f"no server on {path}"
        time.sleep(0.005)


def _answers(path: Path) -> bool:
    """Whether somebody listens: the socket is there a moment before it does."""
    with socket.socket(socket.AF_UNIX) as caller:
        return caller.connect_ex(str(path)) == 0
