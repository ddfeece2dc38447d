"""The api, wired: bus, projection, operations, listening socket, an orderly end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

from aiohttp import web

from services.api import blobs, checkpoints, documents, instance_types, pins
from services.api.browsers import browser_guard
from services.api.operations import Operation
from services.api.parts import Parts
from services.api.problems import add_request_id, problem_middleware
from services.api.projection import Projection
from services.api.requests import answering
from services.api.settings import ApiSettings
from services.api.storing import storing
from services.chassis.bus import Bus
from services.chassis.listener import operator_routes
from services.chassis.process import Process
from services.chassis.redis import connected
from services.chassis.telemetry import logger

log = logger("api.app")


def operations(parts: Parts) -> list[Operation]:
    """All of them; a new noun is one more line here."""
    nouns = [
        *instance_types.operations(parts),
        *blobs.operations(parts),
        *checkpoints.operations(parts),
        *pins.operations(parts),
    ]
    return [*nouns, *documents.operations(nouns)]


@asynccontextmanager
async def wired(process: Process[ApiSettings]) -> AsyncIterator[None]:
    """The whole service; `__main__.py` and the tests both enter here."""
    settings = process.settings
    redis_timeout = settings.redis_timeout_seconds
    bus = Bus(process)
    async with (
        connected(settings.redis_url, timeout_seconds=redis_timeout) as redis,
        storing(process) as store,
    ):
        partitions = settings.cellnode_partitions
        projection = Projection(redis, partitions, timeout_seconds=redis_timeout)
        parts = Parts(process, bus, redis, store, projection)
        async with _listening(application(parts, operations(parts)), process), bus:
            yield


def application(parts: Parts, given: Iterable[Operation]) -> web.Application:
    """Routes from operations, with the one middleware around them."""
    guard = browser_guard(frozenset(parts.settings.hosts.replace(",", " ").split()))
    made = web.Application(middlewares=[problem_middleware(parts.clock), guard])
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
) -> AsyncIterator[None]:
    runner = web.AppRunner(application, handle_signals=False, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(
            runner,
            *process.settings.listen_address,
            shutdown_timeout=process.settings.drain_seconds_max,
        )
        await site.start()
        host, port = runner.addresses[0][:2]
        process.address = f"{host}:{port}"
        log.info("listening", address=process.address)
        yield
    finally:
        process.readiness.stopping()
        await runner.cleanup()
