"""The api, wired: bus, projection, operations, listening socket, an orderly end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from aiohttp import web

from schemas.errors import StoreUnavailable
from services.api import (
    blobs,
    checkpoints,
    commands,
    documents,
    events,
    instance_types,
    logs,
    node_commands,
    node_documents,
    nodes,
    pins,
    usage,
)
from services.api.browsers import browser_guard
from services.api.operations import Operation
from services.api.parts import Parts, parts_of
from services.api.problems import add_request_id, problem_middleware
from services.api.requests import answering
from services.api.settings import ApiSettings
from services.api.storing import storing
from services.chassis.endings import ended
from services.chassis.listener import operator_routes
from services.chassis.process import Process
from services.chassis.redis import connected
from services.chassis.telemetry import logger

HEADER_BYTES_MAX = 64 * 1024  # Of one; the gateway passes on half of it at most.
LOOK_SECONDS = 0.1  # Until the projection was read once.

log = logger("api.app")


def operations(parts: Parts) -> list[Operation]:
    """All of them; a new noun is one more line here."""
    nouns = [
        *nodes.operations(parts),
        *node_commands.operations(parts),
        *commands.operations(parts),
        *events.operations(parts),
        *instance_types.operations(parts),
        *usage.operations(parts),
        *blobs.operations(parts),
        *checkpoints.operations(parts),
        *pins.operations(parts),
        *logs.operations(parts),
        *node_documents.operations(parts),
    ]
    return [*nouns, *documents.operations(nouns)]


@asynccontextmanager
async def wired(process: Process[ApiSettings]) -> AsyncIterator[None]:
    """The whole service; `__main__.py` and the tests both enter here.

    It answers before Kafka and Redis do, and says in its answers which of them is away.
    """
    settings = process.settings
    redis_timeout = settings.redis_timeout_seconds
    async with (
        connected(
            settings.redis_url, login=settings.redis_login, timeout_seconds=redis_timeout
        ) as redis,
        storing(process) as store,
    ):
        parts = parts_of(process, redis, store)
        looking = asyncio.create_task(_look(parts), name="api.projection")
        try:
            async with (
                _listening(application(parts, operations(parts)), process) as runner,
                parts.bus,
                parts.news.reading(),
                parts.usage.reading(),
            ):
                yield
                await _finish(parts, runner)
        finally:
            await ended([looking])


async def _look(parts: Parts) -> None:
    """Ready once the projection was read; from then on each request says what it finds."""
    read = parts.process.readiness.require("projection read")
    while not read.is_met:
        try:
            await parts.projection.check()
            read.met()
        except StoreUnavailable as error:
            read.unmet(str(error))
            await parts.clock.sleep(LOOK_SECONDS)


async def _finish(parts: Parts, runner: web.AppRunner) -> None:
    """Streams end, who waits is told, requests in flight are answered; then nothing is taken."""
    parts.process.readiness.stopping()
    parts.waiting.stop()
    parts.streams.stop()
    await runner.cleanup()


def application(parts: Parts, given: Iterable[Operation]) -> web.Application:
    """Routes from operations, with the one middleware around them."""
    guard = browser_guard(frozenset(parts.settings.hosts.replace(",", " ").split()))
    made = web.Application(middlewares=[problem_middleware(parts.clock, parts.measures), guard])
    made.on_response_prepare.append(add_request_id)
    process = parts.process
    made.add_routes(operator_routes(process.readiness, process.metrics))
    for one in given:
        handler = answering(one, parts.settings.body_seconds_max)
        made.router.add_route(one.method, one.pattern, handler)
    return made


@asynccontextmanager
async def _listening(
    application: web.Application, process: Process[ApiSettings]
) -> AsyncIterator[web.AppRunner]:
    runner = web.AppRunner(
        application,
        handle_signals=False,
        access_log=None,
        handler_cancellation=True,  # A client that has gone waits for nothing.
        max_field_size=HEADER_BYTES_MAX,
        shutdown_timeout=process.settings.drain_seconds_max,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, *process.settings.listen_address)
        await site.start()
        host, port = runner.addresses[0][:2]
        process.address = f"{host}:{port}"
        log.info("listening", address=process.address)
        yield runner
    finally:
        process.readiness.stopping()
        await runner.cleanup()
