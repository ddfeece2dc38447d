"""What the instances of a node print, now or as they print it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Annotated

from aiohttp import web
from pydantic import Field

from schemas.ids import InstanceId, place_of
from schemas.views import LOG_LINES, LOG_LINES_MAX, LogLine
from services.api.logs_follow import NodeLogs
from services.api.logs_stream import LINES_TYPE, TEXT_TYPE, LogStream, ReaderGone, wanted_type
from services.api.operations import Answer, Call, Operation, Query
from services.api.parts import Parts
from services.api.problems import ApiProblem
from services.chassis.endings import ended


class LogsQuery(Query):
    """Which lines."""

    instance: Annotated[
        InstanceId | None, Field(description="Only this one; else all of the node.")
    ] = None
    tail: Annotated[
        int, Field(ge=0, le=LOG_LINES_MAX, description="So many of the last lines of each.")
    ] = LOG_LINES
    follow: Annotated[bool, Field(description="Go on with what is printed from now on.")] = False


def operations(parts: Parts) -> list[Operation]:
    return [
        Operation(
            "GET",
            "/v1/nodes/{node}/logs",
            "What the instances of a node print",
            LogRoutes(parts).read,
            id="readNodeLogs",
            tag="nodes",
            answers=(
                Answer(200, "Lines: `<instance> | <line>`", media_type=TEXT_TYPE),
                Answer(200, "Lines, each a JSON object", LogLine, media_type=LINES_TYPE),
            ),
            query=LogsQuery,
            problems=(
                "instance-unknown", "node-unknown", "not-acceptable", "projection-unavailable",
                "too-many-streams",
            ),
        )
    ]  # fmt: skip


class LogRoutes:
    """The operation of logs, for so many readers at once."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._settings = parts.settings
        self._open = 0

    async def read(self, call: Call[LogsQuery, None]) -> web.StreamResponse:
        if self._open >= self._settings.log_streams_max:
            raise ApiProblem("too-many-streams", f"{self._open} logs are being read")
        self._open += 1
        try:
            return await self._read(call)
        finally:
            self._open -= 1

    async def _read(self, call: Call[LogsQuery, None]) -> web.StreamResponse:
        query = call.query
        wanted_type(call.request.headers.get("Accept", ""))
        place = place_of(call.project, call.node)
        logs = NodeLogs(self._parts.projection, self._parts.clock, place, query.instance)
        found = await logs.instances()
        if found is None:
            raise ApiProblem("node-unknown", f"there is no node {place}")
        if query.instance is not None and not found:
            raise ApiProblem(
                "instance-unknown",
                f"{query.instance} is no instance of {place} now, and its log went with it",
                remedy="see GET /v1/nodes/{node} for those there are",
            )
        stream = await LogStream.opened(call.request, self._settings.stream_write_seconds_max)
        try:
            if query.follow:
                await self._until_stopped(logs.follow(stream, found, query.tail))
            else:
                await logs.tell(stream, found, query.tail)
            await stream.response.write_eof()
        except (ReaderGone, ConnectionError):
            if call.request.transport is not None:
                call.request.transport.abort()
        return stream.response

    async def _until_stopped(self, following: Coroutine[None, None, None]) -> None:
        """A stream ends in order when the api does."""
        process = self._parts.process
        tasks = [asyncio.create_task(following), asyncio.create_task(process.until_stopped())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if tasks[0].done():
                await tasks[0]
        finally:
            await ended(tasks)
