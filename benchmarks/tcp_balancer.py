"""A plain TCP balancer: in turn to those that take connections; it reads no byte of what it passes.

`python -m benchmarks.tcp_balancer PORT BACKEND_PORT...` on loopback. It asks nobody how he fares:
whoever refuses a connection is passed over, and the client does not notice.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
import sys
from collections.abc import Iterator
from typing import cast

import uvloop

LOOPBACK = "127.0.0.1"
BACKLOG = 1024
CONNECT_SECONDS_MAX = 5.0


class Half(asyncio.Protocol):
    """One end of a passage; what comes in here goes out at the other."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: Half | None = None
        self._kept: list[bytes] = []  # Until there is another end.
        self._is_over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def join(self, other: Half) -> None:
        self.other, other.other = other, self
        for half in (self, other):
            for data in half._kept:
                half.data_received(data)
            half._kept.clear()
            if half._is_over:
                half.eof_received()

    def data_received(self, data: bytes) -> None:
        if self.other is None or self.other.transport is None:
            self._kept.append(data)
        elif not self.other.transport.is_closing():
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        self._is_over = True
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()  # What was written before goes out first.
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._is_over = True
        if self.other is None or self.other.transport is None:
            return
        if error is None:
            self.other.transport.close()
        else:
            self.other.transport.abort()

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()


class Client(Half):
    """The end that came to us; it is joined to the first that takes it."""

    def __init__(self, turns: Iterator[int], ports: list[int]) -> None:
        super().__init__()
        self._turns, self._ports = turns, ports
        self._joining: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._joining = asyncio.get_running_loop().create_task(self._join())

    async def _join(self) -> None:
        loop, turn = asyncio.get_running_loop(), next(self._turns)
        for n in range(len(self._ports)):
            port = self._ports[(turn + n) % len(self._ports)]
            try:
                async with asyncio.timeout(CONNECT_SECONDS_MAX):
                    _, half = await loop.create_connection(Half, LOOPBACK, port)
            except (OSError, TimeoutError):
                continue
            return self.join(half)
        if self.transport is not None:
            self.transport.abort()


async def balance(port: int, backends: list[int]) -> None:
    """Until SIGTERM."""
    loop, stopped, turns = asyncio.get_running_loop(), asyncio.Event(), itertools.count()
    loop.add_signal_handler(signal.SIGTERM, stopped.set)
    server = await loop.create_server(
        lambda: Client(turns, backends), LOOPBACK, port, backlog=BACKLOG
    )
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await stopped.wait()
    server.close()


if __name__ == "__main__":
    uvloop.run(balance(int(sys.argv[1]), [int(one) for one in sys.argv[2:]]))
