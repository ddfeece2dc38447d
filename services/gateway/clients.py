"""One client connection: calls in order, one answer each, nobody may be slow for ever."""

from __future__ import annotations

import asyncio
import fcntl
import termios
from array import array
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, cast

from services.gateway.calls import Call
from services.gateway.intake import Intake, IntakeLimits
from services.gateway.tunnel_heads import Lines
from services.gateway.tunnels import Tunnel

TOO_MANY = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n"
    b"Cellnode-Not-Executed: true\r\nConnection: close\r\n\r\n"
)
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
PIPELINED_MAX = 64  # Calls of one connection that wait for the one before; then reading pauses.
LINGER_SECONDS = 2.0  # A refused sender is still read, so that it can see the refusal.
LINGER_BYTES_MAX = 32 * 1024 * 1024
WRITE_BUFFER_BYTES_MAX = 256 * 1024


@dataclass(frozen=True)
class Patience:
    """How long a client may take over each part of its request and answer."""

    idle_seconds: float = 75.0
    head_seconds: float = 10.0
    body_seconds: float = 10.0  # Allowed on top of what the slowest rate needs.
    body_bytes_per_second_min: int = 16 * 1024
    write_seconds: float = 30.0  # Without reading anything of its answer.


class Site(Protocol):
    """What a connection needs of the gateway."""

    limits: IntakeLimits
    patience: Patience
    now: Callable[[], float]
    is_draining: bool
    held_bytes: int

    def opened(self, client: ClientConnection) -> None: ...
    def closed(self, client: ClientConnection) -> None: ...
    def handle(self, call: Call) -> None: ...
    def wants_body(self, call: Call) -> bool: ...
    def tunnel(self, call: Call, lines: Lines) -> Tunnel | None: ...
    def abandoned(self, call: Call) -> None: ...
    def finished(self, call: Call) -> float: ...


class ClientConnection(asyncio.Protocol):
    """Reads calls, hands them on one at a time, writes answers with back-pressure."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._transport: asyncio.Transport
        self._intake = Intake(self, site.limits, site.now)
        self.current: Call | None = None  # Given to the gateway, not answered yet.
        self._backlog: deque[Call] = deque()
        self._advancing = False
        self.phase_since = 0.0
        self._lingering_since: float | None = None
        self._lingered_bytes = 0
        self._write_paused_since: float | None = None
        self._holders: set[object] = set()  # Who cannot take more of what is read.
        self.is_closed = False
        self.peer = ""
        self.resume_source: Callable[[], None] | None = (
            None  # Whoever waits for the client to read.
        )

    @property
    def is_write_paused(self) -> bool:
        return self._write_paused_since is not None

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance.
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES_MAX)
        peer = transport.get_extra_info("peername")
        self.peer = peer[0] if isinstance(peer, tuple) else ""
        self.phase_since = self.site.now()
        self.site.opened(self)

    def data_received(self, data: bytes) -> None:
        if self._intake.deaf:
            self._lingered_bytes += len(data)
            if self._lingered_bytes > LINGER_BYTES_MAX:
                self._transport.abort()
        else:
            self._intake.feed(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_closed = True
        self._intake.deaf = True
        self._forget_unanswered()
        call, self.current = self.current, None
        if call is not None and not call.ended:
            call.ended = True
            self.site.abandoned(call)
        self.site.closed(self)

    def _forget_unanswered(self) -> None:
        reading = self._intake.call
        unanswered = [*self._backlog, *([reading] if reading is not None else [])]
        self.site.held_bytes -= sum(call.size for call in unanswered if call.is_held)
        self._intake.call = None
        self._backlog.clear()

    def pause_writing(self) -> None:
        self._write_paused_since = self.site.now()

    def resume_writing(self) -> None:
        self._write_paused_since = None
        if self.resume_source is not None:
            self.resume_source()

    # The intake's side.

    def received(self, call: Call) -> None:
        """A whole request, or the refusal of one, has been read."""
        if self.current is None and not self._backlog:
            self.current = call
            self.site.handle(call)
            return
        self._backlog.append(call)
        if len(self._backlog) == PIPELINED_MAX and not self.is_closed:
            self._transport.pause_reading()

    def hold(self, holder: object) -> None:
        """Read nothing more until this holder can take it."""
        self._holders.add(holder)
        if not self.is_closed:
            self._transport.pause_reading()

    def release(self, holder: object) -> None:
        if holder in self._holders:
            self._holders.remove(holder)
            self._read_on()

    def _read_on(self) -> None:
        if self._holders or len(self._backlog) >= PIPELINED_MAX or self.is_closed:
            return
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def expected(self, call: Call) -> bool:
        """The client asks before it sends the body; false if the answer needs no body."""
        if self.current is not None or call.http10:
            return True  # It sends the body anyway after a while.
        if not self.site.wants_body(call):
            return False
        self._transport.write(CONTINUE)
        return True

    # The gateway's side.

    def write(self, data: bytes) -> None:
        if not self.is_closed:
            self._transport.write(data)

    def abort(self) -> None:
        """The answer cannot be completed: the client must not take it for whole."""
        if not self.is_closed:
            self._transport.abort()

    def finished(self, call: Call) -> None:
        """The answer of the current call has been written."""
        now = self.site.finished(call)
        if self.current is not call:
            return
        self.current = None
        self.resume_source = None
        self.phase_since = now
        if call.close:
            self._end(call)
        elif self._backlog and not self._advancing:
            self._advance()

    def _advance(self) -> None:
        """Not by recursion: thousands of pipelined calls may be answered at once."""
        self._advancing = True
        while self._backlog and self.current is None and not self.is_closed:
            self.current = self._backlog.popleft()
            self.site.handle(self.current)
        self._advancing = False
        self._read_on()

    def _end(self, call: Call) -> None:
        self._intake.deaf = True
        self._forget_unanswered()
        if self.is_closed:
            return
        if call.whole:
            self._transport.close()
            return
        self._lingering_since = self.site.now()
        if self._transport.can_write_eof():
            self._transport.write_eof()

    # The gateway's sweep.

    @property
    def is_idle(self) -> bool:
        """Between two requests."""
        return self.current is None and self._intake.call is None and not self._backlog

    def turn_away(self) -> None:
        """There are too many connections."""
        self._intake.deaf = True
        self._transport.write(TOO_MANY)
        self._transport.close()

    def close_idle(self, idle_seconds: float) -> None:
        """At the end, if it has been idle so long: who has just connected is about to send."""
        if self.is_closed or not self.is_idle:
            return
        if self.site.now() - self.phase_since >= idle_seconds and not self._has_unread():
            self._transport.close()

    def _has_unread(self) -> bool:
        """Whether a request lies in the kernel already; closing now would reset its sender."""
        unread = array("i", [0])
        with suppress(OSError, AttributeError):
            fcntl.ioctl(self._transport.get_extra_info("socket").fileno(), termios.FIONREAD, unread)
        return unread[0] > 0

    def sweep(self, now: float) -> None:
        """Cut a client that takes too long over what it does now."""
        patience = self.site.patience
        if self._lingering_since is not None:
            if now - self._lingering_since > LINGER_SECONDS:
                self._transport.abort()
        elif self._write_paused_since is not None:
            if now - self._write_paused_since > patience.write_seconds:
                self._transport.abort()
        elif self.current is None:
            self._sweep_reading(now - self.phase_since, patience)

    def _sweep_reading(self, waited_seconds: float, patience: Patience) -> None:
        reading = self._intake.call
        if reading is None:
            if waited_seconds > patience.idle_seconds:
                self._transport.close()
        elif not self._intake.in_body:
            if waited_seconds > patience.head_seconds:
                self._intake.refuse_reading("request-timeout", "The head took too long.")
        else:
            needed_seconds = reading.size / patience.body_bytes_per_second_min
            if waited_seconds > patience.head_seconds + patience.body_seconds + needed_seconds:
                self._intake.refuse_reading("request-timeout", "The body took too long.")
