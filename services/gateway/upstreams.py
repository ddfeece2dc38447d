"""One connection to an instance: requests out in one write a turn, answers in, framing checked."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, cast

import httptools

from schemas.http import BODY_BYTES_MAX
from services.gateway.answers import KEPT_INSIDE, PASSED_ON, Answer, BadAnswer
from services.gateway.calls import Call

if TYPE_CHECKING:
    from services.gateway.pools import Pool

BUFFERED_BYTES_MAX = 64 * 1024  # A larger answer is passed on while it comes.
HEAD_BYTES_MAX = 32 * 1024
HEADER_COST_BYTES = 256  # What each header counts for beside its bytes.
UNPARSED_BYTES_MAX = 512 * 1024  # Of a head that does not end; one read may bring 256 KiB.
INTERIMS_MAX = 8
BEGUN = "the parser begins every message"


class Upstream(asyncio.Protocol):
    """One connection. Calls on it are answered in the order in which they were sent."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport
        self.calls: deque[Call | None] = deque()  # None: its caller has gone.
        self._answer: Answer | None = None
        self._head_bytes = self._unparsed_bytes = 0
        self._soon = asyncio.get_running_loop().call_soon
        self._unsent: list[bytes] = []
        self._why = ""
        self._is_paused = False  # The client of the answer does not read it.
        self.is_closed = False
        self.is_listed = False  # The pool may send more on it.
        self.idle_sweeps = 0  # Since it was used last.

    # Out.

    def send(self, call: Call, head: bytes) -> None:
        self.calls.append(call)
        self.idle_sweeps = 0
        call.upstream = self
        if not self._unsent:
            self._soon(self._flush)
        self._unsent += (head, call.body)

    def _flush(self) -> None:
        """What one turn of the loop has brought goes out in one write."""
        unsent, self._unsent = self._unsent, []
        if not self.is_closed:
            self._transport.write(b"".join(unsent))

    def drop(self, call: Call) -> None:
        """Nobody waits for this call: the agent learns it by the end of the connection."""
        call.upstream = None
        self.calls = deque(None if one is call else one for one in self.calls)
        if not any(self.calls):
            self.calls.clear()
            self.close()

    def close(self) -> None:
        self.is_closed = True
        self._pool.unlist(self)
        self._transport.abort()

    # The transport's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance.

    def data_received(self, data: bytes) -> None:
        if self.is_closed:
            return
        if self._answer is None:  # The parser is between two answers.
            data = self._read_plain(data)
            if not data or self.is_closed:
                return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._break(self._why or str(error.args[0]))
            if isinstance(error, httptools.HttpParserCallbackError) and not self._why:
                raise  # Our own mistake, not the instance's.
        else:
            if self._answer is not None and not self._answer.size:
                self._unparsed_bytes += len(data)
                if self._unparsed_bytes > UNPARSED_BYTES_MAX:
                    self._break("its head does not end")

    def _read_plain(self, data: bytes) -> bytes:
        """Take the plain answers that are whole off the front; the rest is for the parser."""
        match, start = self._pool.plain_match, 0
        while self.calls and (head := match(data, start)) is not None:
            body_at = head.end()
            end = body_at + int(head[3])
            if end > len(data):
                break
            start = end
            answer = Answer()
            answer.status = 200
            answer.headers = head[1]
            answer.execution_us = float(head[2])
            answer.body = data[body_at:end]
            self._finish(answer)
        return data[start:] if start else data

    def connection_lost(self, error: Exception | None) -> None:
        if not self.is_closed:
            self._break(str(error) if error else "it closed the connection")

    def _break(self, why: str) -> None:
        self.close()
        calls, self.calls = self.calls, deque()
        answer, self._answer = self._answer, None
        heard = answer is not None
        sent = len(calls) - len(self._unsent) // 2  # The others wait for the end of this turn.
        for place, call in enumerate(calls):
            if call is not None:
                call.upstream = None
                if answer is not None and answer.streams and heard:
                    self._pool.owner.cut(call)
                else:
                    self._pool.owner.lost(call, why, sent=place < sent, heard=heard)
            heard = False  # Only the first had begun to be answered.

    def _raise(self, why: str) -> None:
        self._why = why
        raise BadAnswer(why)

    # The parser's side.

    def on_message_begin(self) -> None:
        if not self.calls:
            self._raise("it answered what nobody asked")
        if self._answer is None:
            self._answer = Answer()
            self._head_bytes = self._unparsed_bytes = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        answer = self._answer
        assert answer is not None, BEGUN
        self._head_bytes += len(name) + len(value) + HEADER_COST_BYTES
        if self._head_bytes > HEAD_BYTES_MAX:
            self._raise("its head is too large")
        lower = name.lower()
        if lower == b"content-length":
            answer.length = int(value)
        elif lower == b"cellnode-instance":
            answer.instance = value
            answer.headers += self._pool.instance_line
        elif lower == b"content-type":
            answer.headers += b"Content-Type: %b\r\n" % value
        elif lower == b"cellnode-execution-us" and value.isdigit() and len(value) < 16:
            answer.execution_us = float(value)
            answer.headers += b"Cellnode-Execution-Us: %b\r\n" % value
        elif lower == b"cellnode-not-executed":
            answer.not_executed = value == b"true"
        elif lower == b"transfer-encoding":
            answer.chunked = value.lower() == b"chunked"
        elif lower in PASSED_ON or (lower.startswith(b"cellnode-") and lower not in KEPT_INSIDE):
            answer.headers += b"%b: %b\r\n" % (name, value)

    def on_headers_complete(self) -> None:
        answer = self._answer
        assert answer is not None, BEGUN
        answer.status = self._parser.get_status_code()
        if answer.status < 200:
            self._interim(answer)
            return
        if answer.length is None and not answer.chunked:
            self._raise("its answer has no length")
        self._check_instance(answer)
        if answer.length is not None and answer.length > BODY_BYTES_MAX:
            self._too_large(answer)
        elif answer.length is not None and answer.length > BUFFERED_BYTES_MAX:
            self._begin_stream(answer)

    def _interim(self, answer: Answer) -> None:
        answer.interims += 1
        answer.headers = b""
        if answer.interims > INTERIMS_MAX or answer.status == 101:
            self._raise("it sent interim answers without end")

    def _check_instance(self, answer: Answer) -> None:
        """The address may have come to belong to another instance."""
        told = answer.instance
        if told == self._pool.instance_bytes or (not told and answer.status >= 400):
            return
        if not answer.not_executed:
            self._raise("another instance answered in its place")

    def _begin_stream(self, answer: Answer) -> None:
        call = self.calls[0]
        answer.streams = True
        self._pool.unlist(self)  # Nobody is to wait behind a client that reads slowly.
        if call is not None:
            call.client.resume_source = self._resume
            self._pool.owner.streams(call, answer)

    def on_body(self, part: bytes) -> None:
        answer = self._answer
        assert answer is not None, BEGUN
        answer.size += len(part)
        if answer.size > BODY_BYTES_MAX:
            self._too_large(answer)
        if not answer.streams:
            answer.body = answer.body + part if answer.body else part  # At most what is buffered.
            if not answer.chunked or answer.size <= BUFFERED_BYTES_MAX:
                return
            self._begin_stream(answer)
            part = answer.body
        self._pass_on(answer, part)

    def _pass_on(self, answer: Answer, part: bytes) -> None:
        call = self.calls[0]
        if call is None:
            return
        call.answer_bytes += len(part)
        if answer.chunked and not call.http10:
            part = b"%x\r\n%b\r\n" % (len(part), part)
        call.client.write(part)
        if call.client.is_write_paused and len(self.calls) == 1:
            self._is_paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        if self._is_paused and not self.is_closed:
            self._is_paused = False
            self._transport.resume_reading()

    def on_message_complete(self) -> None:
        answer = self._answer
        assert answer is not None, BEGUN
        if answer.status < 200:
            return
        self._answer = None
        if self._is_paused:
            self._resume()
        if self._parser.should_keep_alive() and not self._answered_early(self.calls[0]):
            self._finish(answer)
            return
        call = self.calls.popleft()
        self._close_after_answer()
        self._tell(call, answer)

    def _finish(self, answer: Answer) -> None:
        """The answer is whole and the connection goes on."""
        call = self.calls.popleft()
        if not self.is_listed or self._pool.pending:
            self._pool.freed(self)
        self._tell(call, answer)

    def _tell(self, call: Call | None, answer: Answer) -> None:
        if call is None:
            return
        call.upstream = None
        if answer.streams:
            self._pool.owner.streamed(call, answer)
        else:
            self._pool.owner.answered(call, answer)

    def _answered_early(self, call: Call | None) -> bool:
        """Before it had read the request: what is left of that would look like another one."""
        is_large = call is None or len(call.body) > BUFFERED_BYTES_MAX
        return is_large and self._transport.get_write_buffer_size() > 0

    def _close_after_answer(self) -> None:
        """The agent reads nothing behind such an answer (RFC 9112, 9.6): that was not executed."""
        self.close()
        calls, self.calls = self.calls, deque()
        for call in calls:
            if call is not None:
                call.upstream = None
                self._pool.owner.lost(call, "it closed the connection", sent=False, heard=False)

    def _too_large(self, answer: Answer) -> None:
        call = self.calls[0]
        if call is not None and not answer.streams:
            call.upstream = None
            self.calls[0] = None
            self._pool.owner.too_large(call)
        self._raise("its answer is too large")
