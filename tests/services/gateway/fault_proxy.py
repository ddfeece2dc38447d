"""A way to Redis that can be cut, held, slowed or closed, while everything else stays as it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import Enum

CHUNK_BYTES = 65_536


class Way(Enum):
    """How it fares."""

    OPEN = "everything passes"
    HELD = "connections stay open, new ones are taken, nothing passes"
    CUT = "connections are reset, new ones too"


class FaultProxy:
    """From a loopback port to a Unix socket."""

    def __init__(self, target: str) -> None:
        self.way = Way.OPEN
        self.delay_seconds = 0.0  # Before each piece of an answer.
        self._target = target
        self._opened = asyncio.Event()
        self._opened.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        assert self._server is not None, "not entered"
        return f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/0"

    def set(self, way: Way) -> None:
        self.way = way
        if way is Way.OPEN:
            self._opened.set()
        else:
            self._opened.clear()
        if way is Way.CUT:
            for writer in list(self._writers):
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self.way is not Way.CUT:
                await self._pass(reader, writer)
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs = await asyncio.open_unix_connection(self._target)
        ways = [
            asyncio.ensure_future(self._pump(reader, theirs[1])),
            asyncio.ensure_future(self._pump(theirs[0], writer, delays=True)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            theirs[1].transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, delays: bool = False
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(CHUNK_BYTES):
                if delays and self.delay_seconds:
                    await asyncio.sleep(self.delay_seconds)
                await self._opened.wait()
                writer.write(data)
                await writer.drain()


@asynccontextmanager
async def proxy_to(redis_url: str) -> AsyncIterator[FaultProxy]:
    proxy = FaultProxy(redis_url.removeprefix("unix://"))
    proxy._server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0)
    try:
        yield proxy
    finally:
        proxy.set(Way.CUT)
        proxy._server.close()
