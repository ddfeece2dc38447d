"""Reading the log of one instance from its agent: bounded in time, piece after piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, UnixConnector

from schemas.http import INSTANCE_HEADER, LOG_LOST_HEADER, LOG_POSITION_HEADER

CONNECT_SECONDS_MAX = 2.0
ANSWER_SECONDS_MAX = 5.0  # On top of what it was asked to wait.
WAIT_SECONDS = 20.0  # For the next line, before it is asked again.
PIECE_BYTES_MAX = 2 * 1024 * 1024  # An agent sends far less.
_UNIX = "unix:"


class NoLog(Exception):
    """The agent does not tell it now; the text says why."""


class NoSuchLog(NoLog):
    """And it will not: it is another instance's agent, or one that tells no logs."""


@dataclass(frozen=True)
class Piece:
    """Lines in the order in which they were written, and where the next ones start."""

    lines: tuple[str, ...]
    position: str
    is_lost: bool  # Lines before these are no longer kept.


class AgentLog:
    """A connection to one agent."""

    def __init__(self, instance: str, endpoint: str) -> None:
        self.instance = instance
        is_unix = endpoint.startswith(_UNIX)
        path = endpoint.removeprefix(_UNIX).removeprefix("//")
        self._url = "http://agent/logs" if is_unix else f"{endpoint.rstrip('/')}/logs"
        self._session = ClientSession(
            connector=UnixConnector(path) if is_unix else None, auto_decompress=False
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def tail(self, lines: int) -> Piece:
        """The last lines."""
        async with self.asked(None, lines) as answer:
            return await self.read(answer)

    @asynccontextmanager
    async def asked(self, position: str | None, tail: int) -> AsyncIterator[ClientResponse]:
        """What follows, as soon as there is something; `read` it when there is room for it.

        Without a position: the last lines, at once.
        """
        if position is None:
            wish, wait_seconds = {"tail": str(tail)}, 0.0
        else:
            wish = {"after": position, "wait_ms": str(int(WAIT_SECONDS * 1000))}
            wait_seconds = WAIT_SECONDS
        async with self._asked(wish, wait_seconds) as answer:
            yield answer

    async def read(self, answer: ClientResponse) -> Piece:
        return await _piece(answer)

    @asynccontextmanager
    async def _asked(
        self, wish: dict[str, str], wait_seconds: float
    ) -> AsyncIterator[ClientResponse]:
        limits = ClientTimeout(
            connect=CONNECT_SECONDS_MAX, sock_read=wait_seconds + ANSWER_SECONDS_MAX
        )
        try:
            async with self._session.get(self._url, params=wish, timeout=limits) as answer:
                self._check(answer)
                yield answer
        except (ClientError, OSError, asyncio.TimeoutError, ValueError) as error:
            raise NoLog(f"its agent does not answer: {error or type(error).__name__}") from error

    def _check(self, answer: ClientResponse) -> None:
        told = answer.headers.get(INSTANCE_HEADER)
        if told != self.instance:
            raise NoSuchLog(f"at its endpoint is {told or 'something else'}")
        if answer.status == 503:
            raise NoLog("as many read its log as may")
        if answer.status != 200 or LOG_POSITION_HEADER not in answer.headers:
            raise NoSuchLog(f"its agent answers {answer.status} to a question for its log")


async def _piece(answer: ClientResponse) -> Piece:
    if (answer.content_length or 0) > PIECE_BYTES_MAX:
        raise NoSuchLog(f"its agent sends more than {PIECE_BYTES_MAX} bytes at once")
    text = (await answer.read()).decode(errors="replace")
    lines = text.split("\n")
    return Piece(
        tuple(lines if lines[-1] else lines[:-1]),
        answer.headers[LOG_POSITION_HEADER],
        LOG_LOST_HEADER in answer.headers,
    )
