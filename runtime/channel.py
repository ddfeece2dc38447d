"""The channel to one serving fork: requests in, answers out, in the same order."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Protocol, cast

from runtime.exchange import STATUS_LINES
from runtime.interpreter.frames import CELL_ERROR, RESPONSE, Response

READ_BYTES = 64 * 1024


class Owner(Protocol):
    """Who is told what came through the channel, and that it has ended."""

    body_bytes_max: int

    def on_response(self, response: Response) -> None: ...

    def kill(self) -> None: ...

    def channel_lost(self, channel: RequestChannel) -> None: ...


class RequestChannel(asyncio.Protocol):
    """Requests to one fork, and its answers as they come."""

    def __init__(self, owner: Owner, channel: socket.socket) -> None:
        self.owner = owner
        self.channel = channel  # A second handle: the transport closes its own too soon.
        self.transport: asyncio.Transport | None = None
        self.received = bytearray()
        self.is_at_end = False
        self.is_retired = False  # Its fork is settled; what still comes answers nobody.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        if self.is_retired:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.is_retired:
            return
        received = self.received
        received += data
        start, head_bytes = 0, RESPONSE.size
        while len(received) - start >= head_bytes:
            body_bytes, execution_us, status, flags = RESPONSE.unpack_from(received, start)
            if body_bytes > self.owner.body_bytes_max or status not in STATUS_LINES:
                # The cell wrote to its own channel.
                self.owner.kill()
                break
            end = start + head_bytes + body_bytes
            if len(received) < end:
                break
            body = bytes(received[start + head_bytes : end])
            start = end
            self.owner.on_response(Response(body, execution_us, status, bool(flags & CELL_ERROR)))
        del received[:start]

    def retire(self) -> None:
        self.is_retired = True
        if self.transport is not None:
            self.transport.abort()

    def _read_last_answers(self) -> None:
        """A failed write ends the transport with answers unread; who has one was executed."""
        with contextlib.suppress(OSError):
            while data := self.channel.recv(READ_BYTES):
                self.data_received(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_at_end = True
        self.transport = None
        if not self.is_retired:
            self._read_last_answers()
            self.owner.channel_lost(self)
        self.channel.close()
