"""A client's bytes into calls: strict framing and a named limit for everything that can grow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httptools

from schemas.http import BODY_BYTES_MAX
from services.gateway.calls import Call
from services.gateway.repeats import KnownHead, known_head
from services.gateway.tunnel_heads import Lines

if TYPE_CHECKING:
    from services.gateway.clients import ClientConnection
    from services.gateway.tunnels import Tunnel

# What the gateway reads or passes on; all other headers stop here.
READ_HEADERS = frozenset(
    {
        b"cellnode-project", b"content-length", b"content-type", b"expect", b"host",
        b"idempotency-key", b"traceparent", b"tracestate", b"transfer-encoding",
        b"x-request-id", b"x-request-timeout",
    }
)  # fmt: skip
LESSONS_MAX = 4  # Heads learned on one connection; a client whose heads all differ costs no more.
BEGUN = "the parser begins every message"
VERSIONS = frozenset({"1.0", "1.1"})
CHUNK_OVERHEAD_BYTES_MAX = 64 * 1024


@dataclass(frozen=True)
class IntakeLimits:
    """How much of each a client may send."""

    target_bytes_max: int = 8190
    headers_max: int = 100
    head_bytes_max: int = 32 * 1024
    body_bytes_max: int = BODY_BYTES_MAX
    held_bytes_max: int = 1024 * 1024 * 1024  # All bodies together; small ones always get in.


class _Refused(Exception):
    """Stops the parser; the refusal itself is kept in the call."""


class Intake:
    """The reading half of one client connection."""

    def __init__(
        self, client: ClientConnection, limits: IntakeLimits, now: Callable[[], float]
    ) -> None:
        self._client = client
        self._limits = limits
        self._now = now
        self._parser = httptools.HttpRequestParser(self)
        self.call: Call | None = None  # Being read.
        self.in_body = False
        self.deaf = False  # Nothing more is read on this connection.
        self._headers_max = limits.headers_max
        self._head_bytes_max = limits.head_bytes_max
        self._headers = 0
        self._head_bytes = 0
        self._known: KnownHead | None = None
        self._lessons = LESSONS_MAX
        self._is_whole = False  # What is fed now began with a new request, and may be learned from.
        self._taken: Call | None = None  # The request read last, to be learned from.
        self._unframed_bytes = 0  # Raw bytes since the last step forward.
        self._stepped = False
        self._lines: Lines = []  # Of the head being read, for the api; empty where it is not.

    def feed(self, data: bytes) -> None:
        """Read on; calls and refusals go to the client connection."""
        if self.call is None:
            if self._known is not None:
                data = self._read_known(data, self._known)
                if not data or self.deaf:
                    return
            self._is_whole = self._lessons > 0
        self._stepped = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if isinstance(error, httptools.HttpParserCallbackError) and not self.deaf:
                raise  # Our own mistake, not the client's; the loop closes the connection.
            if not self.deaf:
                self.refuse_reading("bad-request", f"{error.args[0]}.")
        else:
            self._unframed_bytes = 0 if self._stepped else self._unframed_bytes + len(data)
            if self._unframed_bytes:
                self._check_unframed()
            if self._is_whole:
                self._learn(data)

    def _read_known(self, data: bytes, known: KnownHead) -> bytes:
        """Take the requests off the front whose head was parsed before; the rest is parsed."""
        start = 0
        while (found := known.body_in(data, start)) is not None and not self.deaf:
            body_at, start = found
            now = self._now()
            call = Call(self._client, now)
            call.method, call.target, call.headers = known.method, known.target, known.headers
            call.body = data[body_at:start]
            call.size = start - body_at
            call.whole = True
            self._client.phase_since = now
            self._client.received(call)
        return data[start:] if start else data

    def _learn(self, data: bytes) -> None:
        """Remember the head of a request that came in one piece, if its like comes again."""
        self._is_whole = False
        call, self._taken = self._taken, None
        if call is not None and self.call is None:
            self._known = known_head(data, call)
            self._lessons -= 1

    def _check_unframed(self) -> None:
        limits = self._limits
        if not self.in_body and self._unframed_bytes > limits.head_bytes_max:
            self.refuse_reading(
                "headers-too-large", f"The head is over {limits.head_bytes_max} bytes."
            )
        elif self._unframed_bytes > 2 * limits.body_bytes_max + CHUNK_OVERHEAD_BYTES_MAX:
            self.refuse_reading("bad-request", "The chunks carry more framing than body.")

    # What follows is called by the parser.

    def on_message_begin(self) -> None:
        now = self._now()
        self.call = Call(self._client, now)
        self._headers = self._head_bytes = 0
        self._lines = []
        self._client.phase_since = now

    def on_url(self, part: bytes) -> None:
        call = self.call
        assert call is not None, BEGUN
        call.target += part
        if len(call.target) > self._limits.target_bytes_max:
            limit = self._limits.target_bytes_max
            self._refuse("uri-too-long", f"The path is over {limit} bytes.")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers += 1
        self._head_bytes += len(name) + len(value)
        if self._headers > self._headers_max or self._head_bytes > self._head_bytes_max:
            self._refuse_head()
        if self.in_body:
            return  # They are trailers.
        self._lines.append((name, value))
        name = name.lower()
        if name in READ_HEADERS:
            assert self.call is not None, BEGUN
            headers = self.call.headers
            if name in headers:
                self._refuse("bad-request", f"The header {name.decode()} came twice.")
            headers[name] = value.rstrip(b" \t")

    def on_headers_complete(self) -> None:
        call = self.call
        assert call is not None, BEGUN
        parser = self._parser
        call.method = parser.get_method()
        self._stepped = self.in_body = True
        version = parser.get_http_version()
        if version != "1.1":
            call.http10 = True
        headers = call.headers
        if version not in VERSIONS or (version == "1.1" and b"host" not in headers):
            self._refuse("bad-request", "Only HTTP/1.1 with a Host header, or HTTP/1.0, is spoken.")
        if parser.should_upgrade():
            self._refuse("bad-request", "Upgrade and CONNECT are not served here; leave them out.")
        call.tunnel = self._client.site.tunnel(call, self._lines)
        length = int(headers.get(b"content-length", 0))
        if b"transfer-encoding" in headers:
            self._check_coding(call)
        elif call.tunnel is None and length > self._limits.body_bytes_max:
            self._too_large()
        if call.tunnel is not None:
            if length or b"transfer-encoding" in headers:
                self._begin_early(call, call.tunnel)
        elif b"expect" in headers and not self._client.expected(call):
            self._end_early(call)

    def _begin_early(self, call: Call, tunnel: Tunnel) -> None:
        """The body is passed on while it comes; not one piece more is read than can be."""
        self._client.hold(tunnel)
        tunnel.is_given = True
        self._client.received(call)
        if call.ended:
            raise _Refused

    def _end_early(self, call: Call) -> None:
        """The call is answered without its body, so nothing after it can be read."""
        self.deaf = call.close = True
        self.call = None
        self._client.received(call)
        raise _Refused

    def _check_coding(self, call: Call) -> None:
        if call.http10 or call.headers[b"transfer-encoding"].lower() != b"chunked":
            self._refuse("bad-request", "The only Transfer-Encoding taken is chunked, in HTTP/1.1.")

    def on_body(self, part: bytes) -> None:
        call = self.call
        assert call is not None, BEGUN
        if call.tunnel is not None:
            self._stepped = True
            call.tunnel.take(part)
            return
        if not call.size:
            call.body = part
            call.size = len(part)
            return
        site = self._client.site
        if call.parts is None:
            call.parts = [call.body]
            call.is_held = True
            site.held_bytes += call.size
        call.size += len(part)
        site.held_bytes += len(part)
        if call.size > self._limits.body_bytes_max:
            self._too_large()
        if site.held_bytes > self._limits.held_bytes_max:
            self._refuse("queue-full", "The gateway holds as many request bodies as it may.")
        call.parts.append(part)

    def on_message_complete(self) -> None:
        call = self.call
        assert call is not None, BEGUN
        call.whole = True
        call.close = self.deaf = call.close or not self._parser.should_keep_alive()
        if call.parts is not None:
            call.body = b"".join(call.parts)
            call.parts = None
        self.call, self.in_body, self._stepped = None, False, True
        if call.tunnel is not None and call.tunnel.is_given:
            call.tunnel.take_end()
            return
        if self._is_whole and call.tunnel is None:
            self._taken = call
        self._client.received(call)

    # Refusals.

    def _refuse_head(self) -> None:
        limits = self._limits
        allowed = f"{limits.headers_max} headers and {limits.head_bytes_max} bytes"
        self._refuse("headers-too-large", f"A head may have {allowed}.")

    def _too_large(self) -> None:
        limit = self._limits.body_bytes_max
        self._refuse("request-too-large", f"The body may be {limit} bytes, not one more.")

    def _refuse(self, code: str, detail: str) -> None:
        """From inside the parser: end reading for good and unwind it."""
        self.refuse_reading(code, detail)
        raise _Refused

    def refuse_reading(self, code: str, detail: str) -> None:
        """The rest of this connection's input cannot be read: answer so, then close."""
        if self.deaf:
            return
        self.deaf = True
        call = self.call or Call(self._client, self._now())
        call.parts, call.body = None, b""
        call.refusal, call.close, self.call = (code, detail), True, None
        if call.tunnel is None or not call.tunnel.is_given:
            self._client.received(call)
        elif self._client.current is call:
            call.tunnel.refuse(code, detail)
