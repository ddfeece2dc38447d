"""One request to the api and its answer: bytes through, both ways, none of them kept."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import httptools

from services.gateway.calls import Call
from services.gateway.problems import status_line
from services.gateway.tunnel_heads import AnswerHead, BadAnswer, Lines, end_to_end, written

if TYPE_CHECKING:
    from services.gateway.api import Api

HEAD_BYTES_MAX = 64 * 1024
HEADERS_MAX = 200
WRITE_BUFFER_BYTES_MAX = 256 * 1024
INTERIMS_MAX = 8
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
BODILESS = frozenset({204, 304})
RETRY = b"Retry-After: 1\r\n"


def chunk(part: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(part), part)


class Tunnel(asyncio.Protocol):
    """A connection to the api for one request: what is not whole at its end is never repeated."""

    def __init__(self, api: Api, call: Call, lines: Lines) -> None:
        self.call = call
        self.lines = lines
        self.moved_at = call.started  # When a byte went through last, in either direction.
        self.is_given = False  # To its client connection, before its body has come.
        self.is_over = False
        self.is_endless = False  # Its answer is followed for as long as both sides like.
        self.opening: asyncio.Task[None] | None = None
        self._api = api
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []  # What came before the connection: one read at most.
        self._is_request_chunked = b"transfer-encoding" in call.headers
        self._is_answer_chunked = False
        self._is_paused = False  # The client does not read its answer.
        self._parser = httptools.HttpResponseParser(self)
        self._head = AnswerHead()
        self._unparsed_bytes = 0
        self._interims = 0

    def begin(self) -> None:
        self._api.begin(self)

    # The client's side.

    def take(self, part: bytes) -> None:
        """The next piece of the request's body."""
        self.call.size += len(part)
        self._send(chunk(part) if self._is_request_chunked else part)

    def take_end(self) -> None:
        if self._is_request_chunked:
            self._send(LAST_CHUNK)
        self.call.client.release(self)

    def _send(self, data: bytes) -> None:
        self.moved_at = self._api.now()
        if self._transport is None:
            self._unsent.append(data)
        elif not self.is_over:
            self._transport.write(data)

    def end(self) -> None:
        """Nothing goes through any more; the api learns it by the end of the connection."""
        self.is_over = True
        self._api.open.discard(self)
        self._unsent.clear()
        self.call.client.release(self)
        if self.opening is not None:
            self.opening.cancel()
        if self._transport is not None:
            self._transport.abort()

    def refuse(self, code: str, detail: str, headers: bytes = b"") -> None:
        """End it with a problem; what has begun to be answered can only be broken off."""
        self.end()
        call = self.call
        if call.status:
            call.client.abort()
            return
        call.close = call.close or not call.whole
        call.refuse(code, detail, headers)

    def lose(self, why: str) -> None:
        self._api.failures += 1
        self.refuse("api-unavailable", f"The api cannot be asked: {why}.", RETRY)

    def close_stream(self) -> None:
        """End an endless answer in order: its client knows how to go on elsewhere."""
        if self.is_endless and not self.is_over:
            self.call.close = True
            self._finish()

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance.
        if self.is_over:
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES_MAX)
        unsent, self._unsent = self._unsent, []
        self.call.client.release(self)
        self._transport.write(b"".join((self._api.request_head(self), *unsent)))

    def pause_writing(self) -> None:
        if not self.is_over:
            self.call.client.hold(self)

    def resume_writing(self) -> None:
        if not self.is_over:
            self.moved_at = self._api.now()
            self.call.client.release(self)

    def data_received(self, data: bytes) -> None:
        if self.is_over:
            return
        self.moved_at = self._api.now()
        self._unparsed_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if self.is_over:
                return  # What comes behind the answer is nobody's.
            cause = error.__context__
            self.lose(str(cause if isinstance(cause, BadAnswer) else error))
            if isinstance(error, httptools.HttpParserCallbackError) and not isinstance(
                cause, BadAnswer
            ):
                raise  # Our own mistake, not the api's.
        else:
            if not self.call.status and self._unparsed_bytes > HEAD_BYTES_MAX:
                self.lose("the head of its answer does not end")

    def connection_lost(self, error: Exception | None) -> None:
        if self.is_over:
            return
        head = self._head
        if error is None and self.call.status and head.length is None and not head.is_chunked:
            self._finish()  # The end of the connection is the end of such an answer.
        else:
            self.lose(str(error) if error else "it closed the connection")

    # The parser's side.

    def on_message_begin(self) -> None:
        if self.is_over:
            raise BadAnswer("it answered what nobody asked")
        self._head = AnswerHead()

    def on_header(self, name: bytes, value: bytes) -> None:
        head = self._head
        if self.call.status:
            return  # A trailer.
        head.add(name, value.rstrip(b" \t"))
        if head.size > HEAD_BYTES_MAX or len(head.lines) > HEADERS_MAX:
            raise BadAnswer("the head of its answer is too large")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            self._interim(status)
            return
        head, call = self._head, self.call
        head.check()
        call.status = status
        call.close = call.close or not call.whole or call.client.site.is_draining
        is_bodiless = call.method == b"HEAD" or status in BODILESS
        self._is_answer_chunked = not is_bodiless and head.length is None and not call.http10
        self.is_endless = head.is_stream or b"follow=true" in call.target
        call.client.resume_source = self._resume
        call.client.write(self._answer_head(is_bodiless))
        if is_bodiless:
            self._is_answer_chunked = False
            self._finish()

    def _interim(self, status: int) -> None:
        self._interims += 1
        self._unparsed_bytes = 0
        if status == 101 or self._interims > INTERIMS_MAX:
            raise BadAnswer("it sent interim answers that nobody asked for")
        if status == 100 and b"expect" in self.call.headers and not self.call.http10:
            self.call.client.write(CONTINUE)

    def _answer_head(self, is_bodiless: bool) -> bytes:
        head, call = self._head, self.call
        framing = b"Transfer-Encoding: chunked\r\n" if self._is_answer_chunked else b""
        if head.length is not None and call.status != 204:
            framing = b"Content-Length: %d\r\n" % head.length
        elif call.http10 and not is_bodiless:
            call.close = True
        if call.close:
            framing += b"Connection: close\r\n"
        elif call.http10:
            framing += b"Connection: keep-alive\r\n"
        lines = written(end_to_end(head.lines))
        first = status_line(call.status)
        return b"%b%bX-Request-ID: %b\r\n%b\r\n" % (first, lines, call.request_id, framing)

    def on_body(self, part: bytes) -> None:
        if self.is_over:
            return
        call, transport = self.call, self._transport
        call.answer_bytes += len(part)
        call.client.write(chunk(part) if self._is_answer_chunked else part)
        if call.client.is_write_paused and not self._is_paused and transport is not None:
            self._is_paused = True
            transport.pause_reading()

    def _resume(self) -> None:
        if self._is_paused and not self.is_over and self._transport is not None:
            self._is_paused = False
            self.moved_at = self._api.now()
            self._transport.resume_reading()

    def on_message_complete(self) -> None:
        if self.call.status and not self.is_over:
            self._finish()

    def _finish(self) -> None:
        self.end()
        call = self.call
        if self._is_answer_chunked:
            call.client.write(LAST_CHUNK)
        call.close = call.close or not call.whole
        call.end()
