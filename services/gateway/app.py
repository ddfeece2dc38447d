"""The gateway, wired: local copy, forwarder, listening socket, drain."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.chassis.clock import Clock
from services.chassis.endings import ended
from services.chassis.loops import repeat
from services.chassis.process import Process
from services.chassis.redis import connected
from services.chassis.telemetry import is_exporting, logger
from services.gateway.access import AccessLog
from services.gateway.api import Api, ApiLimits
from services.gateway.clients import ClientConnection, Patience
from services.gateway.consumers import Follower
from services.gateway.draining import drain
from services.gateway.endpoints import Endpoint
from services.gateway.forward import Forwarder
from services.gateway.gateway import Gateway
from services.gateway.intake import IntakeLimits
from services.gateway.local_copy import LocalCopy
from services.gateway.measures import Measures
from services.gateway.pools import Pool
from services.gateway.settings import GatewaySettings
from services.gateway.tracing import Tracing

SYNCED = "projection seen"
SWEEP_SECONDS = 1.0
SYNC_CHECK_SECONDS = 0.02
FIRST_LOOK_SECONDS_MAX = 5.0  # Then calls are answered all the same, and operators told why.

log = logger("gateway.app")


@asynccontextmanager
async def gateway(process: Process[GatewaySettings]) -> AsyncIterator[Gateway]:
    """The whole service; `__main__.py` and the tests both enter here."""
    settings, clock = process.settings, process.clock
    process.readiness.require(SYNCED)
    measures = Measures(process.metrics)
    forwarder = Forwarder(measures, now=clock.monotonic, roll=clock.random)

    def endpoint(instance: str, url: str) -> Endpoint:
        return Endpoint(instance, url, Pool(instance, url, forwarder))

    copy = LocalCopy(
        settings.cellnode_partitions,
        measures=measures,
        endpoint=endpoint,
        changed=forwarder.changed,
        wall_ms=lambda: clock.now().timestamp() * 1000,
    )
    site = Gateway(
        copy=copy,
        forwarder=forwarder,
        measures=measures,
        access=AccessLog(settings.access_lines_per_second_max),
        now=clock.monotonic,
        token=clock.token(),
        ready=process.readiness.told,
        process_metrics=process.metrics.text,
        limits=IntakeLimits(held_bytes_max=settings.held_bytes_max),
        patience=_patience(settings),
        connections_max=settings.connections_max,
        api=_api(settings, clock),
        tracing=Tracing(exports=is_exporting()),
    )
    timeout = settings.redis_timeout_seconds
    async with connected(
        settings.redis_url, login=settings.redis_login, timeout_seconds=timeout
    ) as redis:
        partitions = settings.cellnode_partitions
        follower = Follower(redis, copy, measures, partitions=partitions, clock=clock)
        tasks = [
            process.watch(follower.run(), "gateway.follower"),
            process.watch(_sweeping(site, process), "gateway.sweep"),
            asyncio.create_task(_tell_synced(copy, process), name="gateway.synced"),
        ]
        try:
            await _first_look(copy, process)
            async with _listening(site, process):
                yield site
        finally:
            await ended(tasks)


def _patience(settings: GatewaySettings) -> Patience:
    return Patience(
        idle_seconds=settings.idle_seconds_max,
        head_seconds=settings.head_seconds_max,
        body_seconds=settings.body_seconds_max,
        body_bytes_per_second_min=settings.body_bytes_per_second_min,
        write_seconds=settings.write_seconds_max,
    )


def _api(settings: GatewaySettings, clock: Clock) -> Api | None:
    if not settings.api_url:
        return None
    limits = ApiLimits(
        tunnels_max=settings.api_requests_max,
        connect_seconds_max=settings.api_connect_seconds_max,
        idle_seconds_max=settings.api_idle_seconds_max,
    )
    return Api(settings.api_url, limits, clock.monotonic)


async def _sweeping(site: Gateway, process: Process[GatewaySettings]) -> None:
    async def sweep() -> None:
        site.sweep()

    await repeat("gateway.sweep", sweep, SWEEP_SECONDS, clock=process.clock)


async def _tell_synced(copy: LocalCopy, process: Process[GatewaySettings]) -> None:
    """Ready once every partition was seen; from then on memory is enough."""
    synced = process.readiness.require(SYNCED)
    while not copy.is_complete:
        why = f"; {copy.trouble}" if copy.trouble else ""
        synced.unmet(f"{copy.partitions_seen} partitions seen so far{why}")
        await process.clock.sleep(SYNC_CHECK_SECONDS)
    synced.met()
    log.info("projection seen", nodes=len(copy.nodes))


async def _first_look(copy: LocalCopy, process: Process[GatewaySettings]) -> None:
    """Callers wait in the kernel for us, or go elsewhere, rather than be told 503 `starting`."""
    deadline = process.clock.monotonic() + FIRST_LOOK_SECONDS_MAX
    while not copy.is_complete and process.clock.monotonic() < deadline:
        await process.clock.sleep(SYNC_CHECK_SECONDS)


@asynccontextmanager
async def _listening(site: Gateway, process: Process[GatewaySettings]) -> AsyncIterator[None]:
    settings = process.settings
    loop = asyncio.get_running_loop()
    listening = _socket(settings)
    server = await loop.create_server(
        lambda: ClientConnection(site), sock=listening, backlog=settings.backlog
    )
    host, port = listening.getsockname()[:2]
    process.address = f"{host}:{port}"
    log.info("listening", address=process.address, inherited=settings.socket_fd is not None)
    try:
        yield
    finally:
        process.readiness.stopping()
        await drain(site, server, listening, settings=settings, clock=process.clock)


def _socket(settings: GatewaySettings) -> socket.socket:
    if settings.socket_fd is not None:
        inherited = socket.socket(fileno=settings.socket_fd)
        inherited.setblocking(False)
        return inherited
    host, port = settings.listen_address
    return socket.create_server((host, port), backlog=settings.backlog, reuse_port=False)
