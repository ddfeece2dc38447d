"""A real HTTP server that takes and finds annotations as Grafana documents it, with its faults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

TOKEN = "glsa_a-token-that-no-log-may-hold"
LIMIT = 100  # Grafana's own, where none is asked for.
TAG_VALUE_BYTES_MAX = 100
ALL_TAGS_CHARACTERS_MAX = 500
Json = dict[str, Any]


class Store:
    """What Grafana has. `fault` may do harm before an answer to a request leaves."""

    def __init__(self) -> None:
        self.annotations: list[Json] = []
        self.asked: list[str] = []
        self.is_away = False
        self.cuts_after_writing = 0  # So many answers never arrive, though it was written.
        self.cuts_before_writing = 0
        self.refuses = 0
        self.refuses_to_find = 0
        self.holds: asyncio.Event | None = None  # Answers wait for it, though it was written.
        self.roll: Callable[[], float] = lambda: 1.0  # Below a half: an answer is cut off.
        self.url = ""

    @property
    def told(self) -> list[Json]:
        """The annotations that dashboards show."""
        return [one for one in self.annotations if "cellnode" in one["tags"]]

    def texts(self) -> list[str]:
        return [one["text"] for one in self.told]

    async def post(self, request: web.Request) -> web.StreamResponse:
        await self._may(request)
        body = await request.json()
        if self.refuses > 0 or not body.get("text") or _too_long(body.get("tags", [])):
            self.refuses -= 1
            return web.json_response({"message": "Failed to save annotation"}, status=400)
        if self._happens("cuts_before_writing"):
            return _cut(request)
        self.annotations.append(_kept(len(self.annotations) + 1, body))
        if self.holds is not None:
            await self.holds.wait()
        if self._happens("cuts_after_writing"):
            return _cut(request)
        return web.json_response({"message": "Annotation added", "id": len(self.annotations)})

    async def get(self, request: web.Request) -> web.StreamResponse:
        await self._may(request)
        if self.refuses_to_find > 0:
            self.refuses_to_find -= 1
            return web.json_response({"message": "bad request data"}, status=400)
        asked = request.query
        tags = {_parsed(tag) for tag in asked.getall("tags", [])}
        first, last = int(asked.get("from", 0)), int(asked.get("to", 0))
        fitting = [
            one
            for one in self.annotations
            if tags <= {*one["tags"]} and (not last or first <= one["time"] <= last)
        ]
        newest_first = sorted(fitting, key=lambda one: -int(one["time"]))
        return web.json_response(newest_first[: int(asked.get("limit", LIMIT))])

    async def _may(self, request: web.Request) -> None:
        self.asked.append(request.method)
        if self.is_away:
            raise web.HTTPServiceUnavailable(text="away")
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            raise web.HTTPUnauthorized(text='{"message":"Invalid API key"}')

    def _happens(self, fault: str) -> bool:
        if getattr(self, fault) > 0:
            setattr(self, fault, getattr(self, fault) - 1)
            return True
        return self.roll() < 0.5


def _parsed(tag: str) -> str:
    """A tag is a name, or a name and a value: what follows a second colon is dropped."""
    return ":".join(tag.split(":")[:2])


def _too_long(tags: list[str]) -> bool:
    values = [tag.partition(":")[2] for tag in tags]
    whole = sum(len(tag) + 3 for tag in tags)
    return whole > ALL_TAGS_CHARACTERS_MAX or any(
        len(value.encode()) > TAG_VALUE_BYTES_MAX for value in values
    )


def _kept(number: int, body: Json) -> Json:
    tags = [_parsed(tag) for tag in body.get("tags", [])]
    return {"id": number, "time": body["time"], "timeEnd": body["time"], "text": body["text"],
            "tags": tags, "dashboardUID": "", "panelId": 0, "data": {}}  # fmt: skip


def _cut(request: web.Request) -> web.StreamResponse:
    """The connection breaks instead of an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@asynccontextmanager
async def serving() -> AsyncIterator[Store]:
    store = Store()
    application = web.Application()
    application.add_routes(
        [web.post("/api/annotations", store.post), web.get("/api/annotations", store.get)]
    )
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        store.url = f"http://{host}:{port}"
        yield store
    finally:
        await runner.cleanup()
