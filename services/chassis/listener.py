"""The listener of a process for its operators: /livez, /readyz, /metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from services.chassis.metrics import Metrics
from services.chassis.readiness import Readiness

CLOSE_TIMEOUT_SECONDS = 1.0


@asynccontextmanager
async def listener(
    address: tuple[str, int], readiness: Readiness, metrics: Metrics
) -> AsyncIterator[str]:
    """Serve while inside; yields the address as `host:port`, with the port that was found."""
    application = web.Application()
    application.add_routes(operator_routes(readiness, metrics))
    runner = web.AppRunner(application, handle_signals=False, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, *address, shutdown_timeout=CLOSE_TIMEOUT_SECONDS)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"{host}:{port}"
    finally:
        await runner.cleanup()


def operator_routes(readiness: Readiness, metrics: Metrics) -> list[web.RouteDef]:
    """For a process whose own listener answers its operators, too."""

    async def livez(_: web.Request) -> web.Response:
        """The loop turns, so the process lives; Kafka, Redis and neighbours are not asked."""
        return web.Response(text="live\n")

    async def readyz(_: web.Request) -> web.Response:
        return web.json_response(readiness.told(), status=200 if readiness.is_ready else 503)

    async def shown(_: web.Request) -> web.Response:
        return web.Response(body=metrics.text(), headers={"Content-Type": metrics.content_type})

    return [web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", shown)]
