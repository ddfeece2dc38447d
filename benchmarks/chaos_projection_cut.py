"""A way to Redis that breaks after so many bytes: what is under way is lost half-way."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

from tests.servers.process import LOOPBACK

CHUNK_BYTES = 65_536
JOIN_SECONDS_MAX = 10.0


class Cutter:
    """Entered, it passes bytes on between callers and a port; armed, it cuts everybody off."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cutter", daemon=True)
        self._writers: set[asyncio.StreamWriter] = set()
        self._left: int | None = None  # Bytes from callers until the cut; None: no cut.
        self.port = 0
        self.cuts = 0

    def __enter__(self) -> Cutter:
        self._thread.start()
        started = asyncio.run_coroutine_threadsafe(self._listen(), self._loop)
        started.result(JOIN_SECONDS_MAX)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(JOIN_SECONDS_MAX)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(JOIN_SECONDS_MAX)
        self._loop.close()

    def cut_after(self, count: int) -> None:
        """Once, when callers have sent so many bytes from now on; then it passes on again."""
        self._loop.call_soon_threadsafe(setattr, self, "_left", count)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._met, LOOPBACK, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._server.close()
        self._cut()
        await asyncio.sleep(0)

    async def _met(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection(LOOPBACK, self._to)
        except OSError:
            writer.close()
            return
        self._writers |= {writer, back}
        passing = (self._pass_on(reader, back, is_call=True), self._pass_on(there, writer))
        await asyncio.gather(*passing)
        self._writers -= {writer, back}

    async def _pass_on(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_call: bool = False
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                writer.write(data)
                await writer.drain()
                if is_call:
                    self._count(len(data))
        writer.close()

    def _count(self, sent: int) -> None:
        if self._left is None:
            return
        self._left -= sent
        if self._left <= 0:
            self._left = None
            self.cuts += 1
            self._cut()

    def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
