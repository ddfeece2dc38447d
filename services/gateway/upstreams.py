"""The gateway's connections to one instance: requests out, answers in, framing checked."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol, cast

import httptools

from schemas.http import BODY_BYTES_MAX
from services.gateway.calls import Call

CONNECT_SECONDS_MAX = 2.0
IDLE_SWEEPS_MAX = 4  # Seconds; well below the agent's own, so that it never closes as we send.
DEPTH_MAX = 16  # Calls on one connection at once.
BUFFERED_BYTES_MAX = 64 * 1024  # A larger answer is passed on while it comes.
HEAD_BYTES_MAX = 32 * 1024
HEADER_COST_BYTES = 256  # What each header counts for beside its bytes.
INTERIMS_MAX = 8
READ_PAUSE_BYTES = 64 * 1024
BEGUN = "the parser begins every message"
_PASSED_ON = frozenset({b"content-type", b"retry-after"})
_KEPT_INSIDE = frozenset({b"cellnode-timeout-ms", b"cellnode-errors"})


class Answer:
    """What an instance answers to one call, as far as it has come."""

    status = 0
    headers = b""  # Those passed on, as lines.
    length: int | None = None
    chunked = False
    execution_us = 0.0
    instance = b""
    not_executed = False
    body = b""
    size = 0
    streams = False  # Its head has gone to the client.
    interims = 0


class Owner(Protocol):
    """Who is told what became of a call."""

    def answered(self, call: Call, answer: Answer) -> None: ...
    def streams(self, call: Call, answer: Answer) -> None: ...
    def streamed(self, call: Call, answer: Answer) -> None: ...
    def too_large(self, call: Call) -> None: ...
    def cut(self, call: Call) -> None: ...
    def lost(self, call: Call, why: str, *, sent: bool, heard: bool) -> None: ...


class BadAnswer(Exception):
    """The instance's answer breaks the contract; its connection is never used again."""


class Upstream(asyncio.Protocol):
    """One connection. Calls on it are answered in the order in which they were sent."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport
        self.calls: deque[Call | None] = deque()  # None: its caller has gone.
        self._answer: Answer | None = None
        self._head_bytes = 0
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
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._break(self._why or str(error.args[0]))
        else:
            if self._answer is not None and not self._answer.size:
                self._head_bytes += len(data)
                if self._head_bytes > HEAD_BYTES_MAX + READ_PAUSE_BYTES * 4 + BUFFERED_BYTES_MAX:
                    self._break("its head is too large")

    def connection_lost(self, error: Exception | None) -> None:
        if not self.is_closed:
            self._break(str(error) if error else "it closed the connection")

    def _break(self, why: str) -> None:
        self.close()
        calls, self.calls = self.calls, deque()
        answer, self._answer = self._answer, None
        heard = answer is not None
        for call in calls:
            if call is not None:
                call.upstream = None
                if answer is not None and answer.streams and heard:
                    self._pool.owner.cut(call)
                else:
                    self._pool.owner.lost(call, why, sent=True, heard=heard)
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
            self._head_bytes = 0

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
        elif lower == b"cellnode-execution-us" and value.isdigit() and len(value) < 16:
            answer.execution_us = float(value)
            answer.headers += b"Cellnode-Execution-Us: %b\r\n" % value
        elif lower == b"cellnode-not-executed":
            answer.not_executed = value == b"true"
        elif lower == b"transfer-encoding":
            answer.chunked = value.lower() == b"chunked"
        elif lower in _PASSED_ON or (lower.startswith(b"cellnode-") and lower not in _KEPT_INSIDE):
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
        call = self.calls.popleft()
        self._resume()
        if self._parser.should_keep_alive() and not self._answered_early(call):
            self._pool.freed(self)
        else:
            self._close_after_answer()
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


class Pool:
    """All connections to one instance; the one used last is used first."""

    def __init__(self, instance: str, url: str, owner: Owner) -> None:
        self.instance_bytes = instance.encode()
        self.instance_line = b"Cellnode-Instance: %b\r\n" % self.instance_bytes
        self.owner = owner
        self._url = url
        self._usable: list[Upstream] = []
        self._pending: deque[tuple[Call, bytes]] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._is_retired = False

    def send(self, call: Call, head: bytes) -> None:
        if len(call.body) > BUFFERED_BYTES_MAX:
            self._send_alone(call, head)
        elif not self._usable:
            self._send_later(call, head)
        else:
            upstream = self._usable[-1]
            upstream.send(call, head)
            if len(upstream.calls) >= DEPTH_MAX:
                self.unlist(upstream)

    def _send_alone(self, call: Call, head: bytes) -> None:
        """A large body would hold up what is sent behind it."""
        upstream = next((one for one in self._usable if not one.calls), None)
        if upstream is None:
            self._send_later(call, head)
        else:
            upstream.send(call, head)
            self.unlist(upstream)

    def _send_later(self, call: Call, head: bytes) -> None:
        self._pending.append((call, head))
        task = asyncio.get_running_loop().create_task(self._open())
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def forget(self, call: Call) -> None:
        """The call gave up while its connection was being made."""
        self._pending = deque(pair for pair in self._pending if pair[0] is not call)

    def freed(self, upstream: Upstream) -> None:
        """An answer is complete, or the connection is new: there is room on it."""
        if self._is_retired and not upstream.calls and not self._pending:
            upstream.close()
            return
        if not upstream.is_listed:
            upstream.is_listed = True
            self._usable.append(upstream)
        if self._pending and not upstream.calls:
            self.send(*self._pending.popleft())

    def unlist(self, upstream: Upstream) -> None:
        if upstream.is_listed:
            upstream.is_listed = False
            self._usable.remove(upstream)

    def sweep(self) -> None:
        """Once a second: close what was idle for long, before the agent does."""
        for upstream in [one for one in self._usable if not one.calls]:
            upstream.idle_sweeps += 1
            if upstream.idle_sweeps > IDLE_SWEEPS_MAX:
                upstream.close()

    def retire(self) -> None:
        """The instance has left balancing: calls under way finish, then all is closed."""
        self._is_retired = True
        for upstream in [one for one in self._usable if not one.calls]:
            upstream.close()

    async def _open(self) -> None:
        try:
            upstream = await asyncio.wait_for(self._connect(), CONNECT_SECONDS_MAX)
        except (OSError, asyncio.TimeoutError) as error:
            self._unreachable(f"cannot connect: {error or 'timed out'}")
        else:
            self.freed(upstream)

    async def _connect(self) -> Upstream:
        loop = asyncio.get_running_loop()
        scheme, _, rest = self._url.partition(":")
        if scheme == "unix":
            _, upstream = await loop.create_unix_connection(lambda: Upstream(self), _path(rest))
        else:
            host, _, port = rest.strip("/").rpartition(":")
            _, upstream = await loop.create_connection(lambda: Upstream(self), host, int(port))
        return upstream

    def _unreachable(self, why: str) -> None:
        pending, self._pending = self._pending, deque()
        for call, _ in pending:
            self.owner.lost(call, why, sent=False, heard=False)


def _path(rest: str) -> str:
    """`unix:/a/b` and `unix:///a/b` name the same socket."""
    return rest.removeprefix("//")
