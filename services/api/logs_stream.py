"""A stream of log lines to one client: as text or as JSON, cut off when nobody reads it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable

from aiohttp import hdrs, web

from schemas.errors import Error
from schemas.views import LogLine
from services.api.problems import ApiProblem

TEXT_TYPE = "text/plain"
LINES_TYPE = "application/x-ndjson"
# A client that vanished without a word is noticed within a minute and a half.
_KEEP_ALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}


class ReaderGone(Error):
    """The client has left, or does not read."""


class LogStream:
    """Lines of several instances, each with the name of its own."""

    def __init__(self, response: web.StreamResponse, *, is_json: bool, seconds_max: float) -> None:
        self.response = response
        self._is_json = is_json
        self._seconds_max = seconds_max
        self.turn = asyncio.Lock()  # Whoever tells a piece: only one is in memory at a time.

    @classmethod
    async def opened(cls, request: web.Request, seconds_max: float) -> LogStream:
        media_type = wanted_type(request.headers.get(hdrs.ACCEPT, ""))
        response = web.StreamResponse(
            headers={
                hdrs.CONTENT_TYPE: f"{media_type}; charset=utf-8",
                hdrs.CACHE_CONTROL: "no-store",
                "X-Accel-Buffering": "no",
            }
        )
        _keep_alive(request)
        await response.prepare(request)
        return cls(response, is_json=media_type == LINES_TYPE, seconds_max=seconds_max)

    async def tell(self, instance: str, lines: Iterable[str]) -> None:
        """Or ReaderGone."""
        told = "".join(self._line(instance, line) for line in lines)
        if not told:
            return
        try:
            async with asyncio.timeout(self._seconds_max):
                await self.response.write(told.encode(errors="replace"))
        except (TimeoutError, ConnectionError) as error:
            raise ReaderGone(str(error)) from None

    def _line(self, instance: str, line: str) -> str:
        if self._is_json:
            return f"{LogLine(instance=instance, line=line).model_dump_json()}\n"
        return f"{instance} | {line}\n"


def wanted_type(accept: str) -> str:
    """Of the answer; text where nothing is said."""
    named = [one.partition(";")[0].strip().lower() for one in accept.split(",")]
    if LINES_TYPE in named:
        return LINES_TYPE
    if {"", "*/*", "text/*", TEXT_TYPE}.intersection(named):
        return TEXT_TYPE
    raise ApiProblem(
        "not-acceptable",
        f"{accept[:100]} is not what logs are told in",
        field=hdrs.ACCEPT,
        remedy=f"accept {TEXT_TYPE} or {LINES_TYPE}",
    )


def _keep_alive(request: web.Request) -> None:
    connection = request.get_extra_info("socket")
    if connection is None or connection.family not in (socket.AF_INET, socket.AF_INET6):
        return
    for name, value in _KEEP_ALIVE.items():
        connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
