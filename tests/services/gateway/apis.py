"""An api for tests: a real HTTP server behind the gateway that keeps what it was asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

BODY_BYTES_MAX = 2**32


@dataclass
class Seen:
    """One request as the api's own parser understood it."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes = b""
    is_whole: bool = False

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name]


@dataclass
class TestApi:
    """Echoes by default; `behave` may do anything else."""

    __test__ = False

    behave: Callable[[TestApi, web.Request, Seen], Awaitable[web.StreamResponse]]
    seen: list[Seen] = field(default_factory=list)
    cancelled: int = 0  # Requests whose client went away meanwhile.

    async def handle(self, request: web.Request) -> web.StreamResponse:
        target = request.raw_path
        seen = Seen(
            request.method, target, [(k.decode(), v.decode()) for k, v in request.raw_headers]
        )
        self.seen.append(seen)
        try:
            return await self.behave(self, request, seen)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


async def echoes(api: TestApi, request: web.Request, seen: Seen) -> web.StreamResponse:
    seen.body = await request.read()
    seen.is_whole = True
    return web.Response(body=seen.body, headers={"Content-Type": "x/y", "X-Extra": "kept"})


async def tells_events(api: TestApi, request: web.Request, seen: Seen) -> web.StreamResponse:
    """One event at once, others every 10 ms for as long as somebody listens."""
    answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await answer.prepare(request)
    for n in range(100_000):
        await answer.write(b"data: %d\n\n" % n)
        await asyncio.sleep(0.01)
    return answer


def waits(event: asyncio.Event) -> Callable[..., Awaitable[web.StreamResponse]]:
    async def behave(api: TestApi, request: web.Request, seen: Seen) -> web.StreamResponse:
        await event.wait()
        return web.Response(text="at last")

    return behave


@asynccontextmanager
async def serving(api: TestApi, path: Path) -> AsyncIterator[TestApi]:
    app = web.Application(client_max_size=BODY_BYTES_MAX)
    app.router.add_route("*", "/{any:.*}", api.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    try:
        await web.UnixSite(runner, str(path)).start()
        yield api
    finally:
        await runner.cleanup()


@asynccontextmanager
async def saying(raw: bytes, path: Path) -> AsyncIterator[list[bytes]]:
    """A server that answers these bytes to whatever comes, then closes; yields what came."""
    came: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(raw)
        writer.close()

    server = await asyncio.start_unix_server(serve, path)
    try:
        yield came
    finally:
        server.close()
