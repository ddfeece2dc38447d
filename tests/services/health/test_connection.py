"""A connection to an agent, against sockets that answer well, badly, late, or not at all."""

from __future__ import annotations

import asyncio
import gc
import resource
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.health.connection import (
    ANSWER_BYTES_MAX,
    AgentConnection,
    NoAnswer,
    NotListening,
    OurFault,
    TooLate,
    connect,
)

Until = Callable[..., Awaitable[None]]
GOOD = b"HTTP/1.1 200 OK\r\ncellnode-INSTANCE: a-1\r\nContent-Length: 2\r\n\r\n{}"


class Lost:
    """Counts how often it was told."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


class Answering(asyncio.Protocol):
    """Answers every request with the same parts, one after the other."""

    def __init__(self, parts: tuple[bytes, ...], *, close: bool) -> None:
        self.parts, self.close = parts, close
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        for n, part in enumerate(self.parts):
            asyncio.get_running_loop().call_later(0.005 * n, self.write, part)

    def write(self, part: bytes) -> None:
        assert self.transport is not None
        if not self.transport.is_closing():
            self.transport.write(part)
            if self.close:
                self.transport.close()


@asynccontextmanager
async def answering(path: Path, *parts: bytes, close: bool = False) -> AsyncIterator[str]:
    """A socket that answers with these parts; its connections are gone afterwards."""
    made: list[Answering] = []

    def make() -> Answering:
        made.append(Answering(parts, close=close))
        return made[-1]

    async with await asyncio.get_running_loop().create_unix_server(make, path):
        yield f"unix:{path}"
        for one in made:
            if one.transport is not None:
                one.transport.abort()


@asynccontextmanager
async def connected(endpoint: str, lost: Lost | None = None) -> AsyncIterator[AgentConnection]:
    connection = await connect(endpoint, lost or Lost(), 1.0)
    try:
        yield connection
    finally:
        connection.close()


@pytest.mark.parametrize("cut", [1, 20, 55, len(GOOD)])
async def test_an_answer_in_any_pieces_is_read_again_and_again(tmp_path: Path, cut: int) -> None:
    parts = [part for part in (GOOD[:cut], GOOD[cut:]) if part]
    async with answering(tmp_path / "s", *parts) as endpoint, connected(endpoint) as connection:
        for _ in range(3):
            answer = await connection.get("/readyz", 1)
            assert (answer.status, answer.instance, answer.body) == (200, "a-1", b"{}")


async def test_nobody_listening_is_told_apart_from_a_wrong_endpoint(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for endpoint in (f"unix:{tmp_path}/none", "http://127.0.0.1:1"):
        with pytest.raises(NotListening, match="nobody listens"):
            await connect(endpoint, Lost(), 1)
    for endpoint in ("ftp://x", "", f"unix:/{'x' * 200}"):
        with pytest.raises(NoAnswer, match="cannot connect"):
            await connect(endpoint, Lost(), 1)


async def test_an_agent_on_a_port_answers_too() -> None:
    def make() -> Answering:
        return Answering((GOOD,), close=True)

    async with await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connected(f"http://127.0.0.1:{port}") as connection:
            assert (await connection.get("/readyz", 1)).instance == "a-1"


async def test_silence_is_too_late_and_closes_the_connection(tmp_path: Path) -> None:
    """The late answer must never be taken for the next one."""
    lost = Lost()
    async with answering(tmp_path / "s") as endpoint, connected(endpoint, lost) as connection:
        with pytest.raises(TooLate):
            await connection.get("/readyz", 0.05)
        assert not connection.is_open
        with pytest.raises(NoAnswer):
            await connection.get("/readyz", 0.05)
    assert lost.times == 0, "we closed it ourselves"


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        GOOD.replace(b"2\r\n\r\n{}", b"many\r\n\r\n{}"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 600000\r\n\r\n" + b"x" * (ANSWER_BYTES_MAX + 1),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x00" * 100,
    ],
)
async def test_nonsense_is_no_answer(tmp_path: Path, answer: bytes) -> None:
    async with answering(tmp_path / "s", answer) as endpoint, connected(endpoint) as connection:
        with pytest.raises(NoAnswer):
            await connection.get("/readyz", 1)


async def test_an_answer_to_no_question_breaks_the_connection(tmp_path: Path, until: Until) -> None:
    lost = Lost()
    async with answering(tmp_path / "s", GOOD + GOOD) as endpoint:
        connection = await connect(endpoint, lost, 1)
        assert (await connection.get("/readyz", 1)).status == 200
        await until(lambda: lost.times == 1)
        assert not connection.is_open


async def test_a_broken_connection_is_told_once(tmp_path: Path, until: Until) -> None:
    lost = Lost()
    async with answering(tmp_path / "s", GOOD[:30], close=True) as endpoint:
        connection = await connect(endpoint, lost, 1)
        with pytest.raises(NoAnswer, match="broke"):
            await connection.get("/readyz", 1)
        await until(lambda: lost.times == 1)


async def test_a_cancelled_question_closes_the_connection(tmp_path: Path) -> None:
    async with answering(tmp_path / "s") as endpoint, connected(endpoint) as connection:
        asking = asyncio.create_task(connection.get("/readyz", 5))
        await asyncio.sleep(0.02)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        assert not connection.is_open


async def test_want_of_file_descriptors_is_our_own_fault(
    tmp_path: Path,
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with answering(tmp_path / "s", GOOD) as endpoint:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            with pytest.raises(OurFault):
                await connect(endpoint, Lost(), 1)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_connection_that_is_over_leaves_nothing_that_must_be_collected(
    tmp_path: Path,
) -> None:
    """The process freezes what it holds when partitions come or go: then no cycle ever goes."""
    gc.disable()
    try:
        async with answering(tmp_path / "s", GOOD) as endpoint:
            async with connected(endpoint) as connection:
                await connection.get("/readyz", 1)
            known = weakref.ref(connection)
            del connection
            await asyncio.sleep(0.01)
            assert known() is None
    finally:
        gc.enable()
