"""Instances for tests: they speak as an agent does and keep a ledger of what they executed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

REFUSAL = b'{"code":"busy"}'


@dataclass
class Asked:
    """One request as it came to an instance."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Agent:
    """Behaves as `behave` says; that is looked up anew for every request."""

    instance: str
    path: Path
    behave: Callable[[Agent, Asked], Awaitable[bytes]]
    executed: list[bytes] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    running: int = 0
    cancelled: int = 0  # Connections that ended while something ran.
    writers: set[asyncio.StreamWriter] = field(default_factory=set)
    server: asyncio.AbstractServer | None = None

    @property
    def url(self) -> str:
        return f"unix:{self.path}"

    async def listen(self) -> None:
        self.server = await asyncio.start_unix_server(self._serve, self.path)

    async def vanish(self) -> None:
        """As a process that was killed: the listener and all connections are gone at once."""
        if self.server is not None:
            self.server.close()
            self.server = None
        for writer in list(self.writers):
            writer.transport.abort()
        self.path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.add(writer)
        try:
            while True:
                asked = await _read(reader)
                self.asked.append(asked)
                answer = await self._run(asked, reader)
                writer.write(answer)
                await writer.drain()
                if not answer or b"Connection: close" in answer:
                    return
        except (asyncio.IncompleteReadError, ConnectionError, RuntimeError):
            return  # RuntimeError: the loop's word for a transport that is closed already.
        finally:
            self.writers.discard(writer)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _run(self, asked: Asked, reader: asyncio.StreamReader) -> bytes:
        """The behaviour, given up when the caller goes away meanwhile."""
        work = asyncio.ensure_future(self.behave(self, asked))
        self.running += 1
        try:
            while not work.done():
                if reader.at_eof():
                    self.cancelled += 1
                    raise ConnectionError
                await asyncio.wait({work}, timeout=0.005)
            return work.result()
        finally:
            self.running -= 1
            work.cancel()


def answer(
    agent: Agent, body: bytes = b'{"output":{}}', *, status: str = "200 OK", extra: str = ""
) -> bytes:
    """An answer as the contract wants it."""
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
        f"Cellnode-Execution-Us: 50\r\nCellnode-Instance: {agent.instance}\r\n{extra}"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def echoes(agent: Agent, asked: Asked) -> bytes:
    """Executes: the body comes back."""
    agent.executed.append(asked.body)
    return answer(agent, asked.body)


async def refuses(agent: Agent, asked: Asked) -> bytes:
    """With the proof that nothing was executed."""
    proof = "Cellnode-Not-Executed: true\r\n"
    return answer(agent, REFUSAL, status="503 Service Unavailable", extra=proof)


async def hangs_up(agent: Agent, asked: Asked) -> bytes:
    """Executes, then its connection ends without an answer."""
    agent.executed.append(asked.body)
    return b""


async def breaks_off(agent: Agent, asked: Asked) -> bytes:
    """Executes, then its connection ends in the middle of the answer."""
    agent.executed.append(asked.body)
    return answer(agent, b"x" * 100).replace(b"200 OK\r\n", b"200 OK\r\nConnection: close\r\n")[
        :-50
    ]


def sleeps(seconds: float) -> Callable[[Agent, Asked], Awaitable[bytes]]:
    """Executes slowly."""

    async def behave(agent: Agent, asked: Asked) -> bytes:
        agent.executed.append(asked.body)
        await asyncio.sleep(seconds)
        return answer(agent, asked.body).replace(b"Us: 50", b"Us: %d" % int(seconds * 1e6))

    return behave


def says(raw: bytes) -> Callable[[Agent, Asked], Awaitable[bytes]]:
    """Answers these bytes, whatever they are; `{instance}` in them becomes its id."""

    async def behave(agent: Agent, asked: Asked) -> bytes:
        agent.executed.append(asked.body)
        return raw.replace(b"{instance}", agent.instance.encode())

    return behave


async def _read(reader: asyncio.StreamReader) -> Asked:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    line, *lines = head.strip().split("\r\n")
    pairs = (one.split(": ", 1) for one in lines)
    headers = {name.lower(): value for name, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Asked(line, headers, body)


@asynccontextmanager
async def listening(*agents: Agent) -> AsyncIterator[None]:
    for agent in agents:
        await agent.listen()
    try:
        yield
    finally:
        for agent in agents:
            await agent.vanish()
