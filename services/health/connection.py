"""One kept-alive HTTP/1.1 connection to an agent: a GET at a time, bounded in time and size.

Ours instead of a general client: ten thousand agents are asked every five seconds by one process.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import httptools

from schemas.http import INSTANCE_HEADER

ANSWER_BYTES_MAX = 512 * 1024  # A whole history with its evidence is far smaller.
_OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_INSTANCE = INSTANCE_HEADER.lower().encode()


class NoAnswer(Exception):
    """There was no answer; the text says why, for a person."""


class NotListening(NoAnswer):
    """Nobody listens at the endpoint."""


class OurFault(NoAnswer):
    """This process could not ask; that says nothing about the agent."""


class TooLate(NoAnswer):
    """The answer did not come in time."""


@dataclass(frozen=True)
class Answer:
    """What an agent said, and who it says it is."""

    status: int
    instance: str
    body: bytes


class AgentConnection(asyncio.Protocol):
    """A connection that somebody opened; `lost` is called once, when it breaks by itself."""

    def __init__(self, lost: Callable[[], None]) -> None:
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._waiting: asyncio.Future[Answer] | None = None
        self._instance = ""
        self._body = bytearray()

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def get(self, path: str, timeout_seconds: float) -> Answer:
        """The answer to a GET, or NoAnswer; after that the connection is closed."""
        if self._transport is None or not self.is_open:
            raise NoAnswer("the connection is closed")
        waiting: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting = waiting
        deadline = self._loop.call_later(timeout_seconds, self._late, timeout_seconds)
        request = f"GET {path} HTTP/1.1\r\nHost: agent\r\nAccept: application/json\r\n\r\n"
        self._transport.write(request.encode())
        try:
            return await waiting
        finally:
            deadline.cancel()
            self._waiting = None
            if waiting.cancelled() or waiting.exception():
                self.close()  # An answer may still be on its way.

    def close(self) -> None:
        """Close without telling `lost`."""
        self._lost = _nobody
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it.

    def data_received(self, data: bytes) -> None:
        if self._parser is None:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(NoAnswer(f"not HTTP/1.1: {error}"))
            self._break()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = self._parser = None  # They know us: frozen so, neither would ever go.
        self._fail(NoAnswer(f"the connection broke: {error or 'closed by the agent'}"))
        lost, self._lost = self._lost, _nobody
        lost()

    def on_message_begin(self) -> None:
        self._instance, self._body = "", bytearray()

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == _INSTANCE:
            self._instance = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body += body
        if len(self._body) > ANSWER_BYTES_MAX:
            self._fail(NoAnswer(f"the answer is larger than {ANSWER_BYTES_MAX} bytes"))
            self._break()

    def on_message_complete(self) -> None:
        assert self._parser is not None, "it is what calls"
        status = self._parser.get_status_code()
        if self._waiting is None or self._waiting.done():
            self._break()  # An answer to no question: what follows could not be matched.
        else:
            self._waiting.set_result(Answer(status, self._instance, bytes(self._body)))

    def _late(self, timeout_seconds: float) -> None:
        self._fail(TooLate(f"no answer within {timeout_seconds:g} s"))

    def _fail(self, error: NoAnswer) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)

    def _break(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def connect(
    endpoint: str, lost: Callable[[], None], timeout_seconds: float
) -> AgentConnection:
    """Connect to `unix:/path` or `http://host:port`, or raise NoAnswer."""
    try:
        return await _within(_open(endpoint, lost), timeout_seconds)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise NotListening(f"nobody listens at {endpoint}: {error.strerror or error}") from error
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) in _OURS:
            raise OurFault(f"cannot open another connection: {error}") from error
        raise NoAnswer(f"cannot connect to {endpoint}: {error}") from error


async def _within(
    opening: Coroutine[None, None, AgentConnection], timeout_seconds: float
) -> AgentConnection:
    """Like `wait_for`, which on Python 3.11 may lose a cancellation, or the connection."""
    task = asyncio.ensure_future(opening)
    try:
        await asyncio.wait({task}, timeout=timeout_seconds)
    except asyncio.CancelledError:
        task.add_done_callback(_closed)
        task.cancel()
        raise
    if not task.done():
        task.add_done_callback(_closed)
        task.cancel()
        raise TooLate(f"no connection within {timeout_seconds:g} s")
    return task.result()


def _closed(task: asyncio.Task[AgentConnection]) -> None:
    """Of a connection that came too late for anybody to want it."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()


async def _open(endpoint: str, lost: Callable[[], None]) -> AgentConnection:
    loop = asyncio.get_running_loop()
    if endpoint.startswith("unix:"):
        path = endpoint.removeprefix("unix:")
        _, connection = await loop.create_unix_connection(lambda: AgentConnection(lost), path)
        return connection
    address = urlsplit(endpoint)
    if address.scheme != "http" or not address.hostname:
        raise ValueError("an endpoint is unix:/path or http://host:port")
    _, connection = await loop.create_connection(
        lambda: AgentConnection(lost), address.hostname, address.port or 80
    )
    return connection


def _nobody() -> None:
    """Who is told when nobody waits for it."""
