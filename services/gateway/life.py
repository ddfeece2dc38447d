"""The life of the gateway's process: one port for calls and for its own pages, so no second one."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys

import uvloop

from services.chassis.process import EXIT_FAILED, EXIT_SETTINGS, EXIT_STOPPED, EXIT_STUCK, Process
from services.chassis.settings import SettingsInvalid
from services.chassis.telemetry import logger, set_up
from services.chassis.watchdog import watchdog
from services.gateway.app import gateway
from services.gateway.settings import GatewaySettings

NAME = "gateway"
COLLECT_AFTER = 20_000  # Objects.

log = logger("gateway.life")


def main() -> None:
    """Settings, logs, loop, until a signal."""
    try:
        settings = GatewaySettings.from_env("CELLNODE_GATEWAY_")
    except SettingsInvalid as error:
        sys.stderr.write(f"{NAME}: {error}\n")
        sys.exit(EXIT_SETTINGS)
    set_up(NAME, settings.log_level)
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    sys.exit(loop.run_until_complete(live(settings)))


async def live(settings: GatewaySettings) -> int:
    """Until a signal or a failure; tells the exit code."""
    process = Process(NAME, settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, process.stop)
    with watchdog(clock=process.clock):
        serving = asyncio.create_task(_serve(process), name=NAME)
        stopped = asyncio.create_task(process.until_stopped())
        await asyncio.wait({serving, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        await _until_over(process, serving)
    log.info("stopped", failed=process.failure is not None)
    return EXIT_STOPPED if process.failure is None else EXIT_FAILED


async def _serve(process: Process[GatewaySettings]) -> None:
    gc.collect()
    gc.freeze()  # What the imports left stays for good: no collection need look at it.
    gc.set_threshold(COLLECT_AFTER)  # A call leaves no cycles.
    async with gateway(process):
        await process.until_stopped()


async def _until_over(process: Process[GatewaySettings], serving: asyncio.Task[None]) -> None:
    done, _ = await asyncio.wait({serving}, timeout=process.settings.stop_timeout_seconds)
    if not done:
        log.error("did not stop in time", timeout_seconds=process.settings.stop_timeout_seconds)
        os._exit(EXIT_STUCK)
    if (error := serving.exception()) is not None:
        log.error("failed", exc_info=error)
        process.stop(error)
