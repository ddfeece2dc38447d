"""Strict HTTP/1.1 on one connection: every size and every wait has a limit."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol, cast

import httptools

from runtime.exchange import Exchange
from runtime.headers import HEADERS, Framing, Rejected

HEADER_BYTES_MAX = 16 * 1024
HEADERS_MAX = 64
URL_BYTES_MAX = 2048
HEADER_SECONDS_MAX = 10.0
BODY_SECONDS_MAX = 60.0
IDLE_SECONDS_MAX = 120.0
SEND_SECONDS_MAX = 60.0
PIPELINED_MAX = 256
# A client that still sends when it is refused must be able to read why before we close.
DISCARD_SECONDS_MAX = 2.0
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Routes(Protocol):
    """What answers requests, and what refuses the body of some before it is read."""

    identity: bytes
    body_bytes_max: int
    connections: set[Connection]

    def handle(self, exchange: Exchange) -> None: ...


class Connection(asyncio.Protocol):
    """Parses requests in the order they come and sends their answers in that order."""

    def __init__(self, routes: Routes, loop: asyncio.AbstractEventLoop) -> None:
        self.routes = routes
        self.loop = loop
        self.identity = routes.identity
        self.parser = httptools.HttpRequestParser(self)
        self.pending: deque[Exchange] = deque()
        self.arriving: Exchange | None = None
        self.ends_at = loop.time() + HEADER_SECONDS_MAX
        self.is_refusing = False  # The last message has come; what follows it is discarded.
        self.is_finishing = False  # The last answer is sent.
        self.is_paused = False  # Enough pipelined requests.
        self.is_closed = False
        self.is_full = False  # The client does not read its answers.
        self.header_bytes = self.header_count = self.body_bytes = self.unparsed_bytes = 0
        self.framing = Framing()

    # The transport's calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.routes.connections.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_closed = True
        self.routes.connections.discard(self)
        for exchange in self.pending:
            exchange.is_cancelled = True
        self.pending.clear()

    def data_received(self, data: bytes) -> None:
        if self.is_refusing:
            return
        try:
            self.parser.feed_data(data)
            if self.arriving is not None and not self.arriving.method:
                # The parser keeps an unfinished header without a limit of its own.
                self.unparsed_bytes += len(data)
                self._bound(self.unparsed_bytes <= HEADER_BYTES_MAX, "headers-too-large")
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            if not isinstance(cause, Rejected):
                raise
            self._reject(cause)
        except Rejected as rejected:
            self._reject(rejected)
        except httptools.HttpParserError as error:
            self._reject(Rejected("bad-request", f"not valid HTTP/1.1: {error}"))

    def pause_writing(self) -> None:
        self.is_full = True
        self.ends_at = self.loop.time() + SEND_SECONDS_MAX
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.is_full = False
        self._rest()
        if not self.is_paused:
            self.transport.resume_reading()

    # The parser's calls, in order.

    def on_message_begin(self) -> None:
        self.arriving = Exchange(self)
        self.header_bytes = self.header_count = self.body_bytes = 0
        self.unparsed_bytes = 0
        self.framing = Framing()
        self.ends_at = self.loop.time() + HEADER_SECONDS_MAX

    def on_url(self, url: bytes) -> None:
        exchange = self._exchange()
        exchange.url += url
        self._bound(len(exchange.url) <= URL_BYTES_MAX, "uri-too-long")

    def on_header(self, name: bytes, value: bytes) -> None:
        self.header_bytes += len(name) + len(value)
        self.header_count += 1
        if self.header_bytes > HEADER_BYTES_MAX or self.header_count > HEADERS_MAX:
            raise Rejected("headers-too-large", f"at most {HEADER_BYTES_MAX} bytes of headers")
        read = HEADERS.get(name.lower())
        if read is not None:
            read(self.framing, self._exchange(), value)

    def on_headers_complete(self) -> None:
        exchange = self._exchange()
        exchange.method = self.parser.get_method()
        exchange.keep_alive = self.parser.should_keep_alive()
        # Two ways to say where the body ends are how requests are smuggled.
        if self.framing.is_chunked and self.framing.content_length is not None:
            raise Rejected("bad-request", "both Content-Length and Transfer-Encoding")
        if self.parser.should_upgrade():
            raise Rejected("bad-request", "upgrades are not supported")
        if self.framing.hosts > 1:
            raise Rejected("bad-request", "more than one Host")
        if self.framing.content_length is not None:
            size = int(self.framing.content_length)
            self._bound(size <= self.routes.body_bytes_max, "request-too-large")
        self.ends_at = self.loop.time() + BODY_SECONDS_MAX
        self.pending.append(exchange)
        if exchange.expects_continue:
            self._continue()

    def on_body(self, chunk: bytes) -> None:
        self.body_bytes += len(chunk)
        self._bound(self.body_bytes <= self.routes.body_bytes_max, "request-too-large")
        self._exchange().chunks.append(chunk)

    def on_message_complete(self) -> None:
        exchange = self._exchange()
        self.arriving = None
        chunks = exchange.chunks
        exchange.body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        exchange.chunks = []
        if len(self.pending) >= PIPELINED_MAX:
            self.is_paused = True
            self.transport.pause_reading()
        if not exchange.keep_alive:
            self.is_refusing = True  # Nothing may follow it.
        self._rest()
        self.routes.handle(exchange)

    # What follows from them.

    def _exchange(self) -> Exchange:
        assert self.arriving is not None, "the parser begins a message before it tells of it"
        return self.arriving

    def _bound(self, is_within: bool, code: str) -> None:
        if not is_within:
            raise Rejected(code, _TOO_MUCH[code].format(self.routes.body_bytes_max))

    def _rest(self) -> None:
        """While answers are awaited the deadlines of their requests hold, not ours."""
        self.ends_at = self.loop.time() + IDLE_SECONDS_MAX

    def _continue(self) -> None:
        if self.pending and self.pending[0] is self.arriving and not self.is_closed:
            self.arriving.expects_continue = False
            self.transport.write(CONTINUE)

    def _reject(self, rejected: Rejected) -> None:
        if self.is_refusing:
            return  # It comes after the last message and is discarded.
        exchange = self.arriving or Exchange(self)
        if not self.pending or self.pending[-1] is not exchange:
            self.pending.append(exchange)
        self.arriving = None
        self.is_refusing = True
        exchange.keep_alive = False
        exchange.refuse(rejected.code, str(rejected))

    def send_answers(self) -> None:
        pending = self.pending
        while pending and not self.is_finishing and (answer := pending[0].answer) is not None:
            exchange = pending.popleft()
            self.transport.write(answer)
            if not exchange.keep_alive:
                self._finish()
                return
        if self.is_paused and len(pending) <= PIPELINED_MAX // 2:
            self._take_more()
        if pending and pending[0].expects_continue:
            self._continue()

    def _take_more(self) -> None:
        self.is_paused = False
        if not self.is_full:
            self.transport.resume_reading()

    def _finish(self) -> None:
        """Close once the client has read its answer, or has had the time to."""
        self.is_refusing = self.is_finishing = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.ends_at = self.loop.time() + DISCARD_SECONDS_MAX

    def eof_received(self) -> bool:
        """A client that sends no more has gone: its waiting requests are dropped."""
        return False

    def enforce(self, now: float) -> None:
        """Called about once a second: end what takes too long."""
        if now < self.ends_at:
            return
        if self.is_full or self.is_finishing or (self.arriving is None and not self.pending):
            self.transport.abort()
        elif self.arriving is not None:
            self._reject(Rejected("request-timeout", "the request did not arrive in time"))


_TOO_MUCH = {
    "request-too-large": "the body has more than {} bytes",
    "headers-too-large": f"at most {HEADER_BYTES_MAX} bytes of headers",
    "uri-too-long": f"at most {URL_BYTES_MAX} bytes",
}
