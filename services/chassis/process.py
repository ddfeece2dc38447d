"""One process of cellnode: settings, signals, ordered start and stop, its listener, exit codes."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

from services.chassis.clock import SYSTEM_CLOCK, Clock
from services.chassis.measures import ProcessMeasures
from services.chassis.metrics import Metrics
from services.chassis.readiness import Readiness
from services.chassis.settings import Settings, SettingsInvalid
from services.chassis.telemetry import finish_traces, logger, set_up
from services.chassis.watchdog import watchdog

if TYPE_CHECKING:
    from services.chassis.bus_measures import BusMeasures

EXIT_STOPPED = 0  # Asked to stop, and stopped in order.
EXIT_FAILED = 1  # Something failed; the supervisor starts the process anew.
EXIT_SETTINGS = 2  # A setting is wrong; starting anew would not help.
EXIT_STUCK = 3  # Did not stop in time and was cut off.

S = TypeVar("S", bound=Settings)

log = logger("chassis.process")


class Process(Generic[S]):
    """What a service is given: its settings, and the ways to tell and to be told to stop."""

    def __init__(self, name: str, settings: S, *, clock: Clock = SYSTEM_CLOCK) -> None:
        self.name = name
        self.settings = settings
        self.clock = clock
        self.metrics = Metrics(name)
        self.measures = ProcessMeasures(self.metrics)
        self.readiness = Readiness()
        self.address = ""  # Of the listener, once it listens.
        self.failure: BaseException | None = None
        self._stopped = asyncio.Event()

    @cached_property
    def bus_measures(self) -> BusMeasures:
        """Of all that the process reads and writes on the bus; made by the first who asks."""
        from services.chassis.bus_measures import BusMeasures  # Who has no bus needs no library.

        return BusMeasures(self.metrics)

    def stop(self, failure: BaseException | None = None) -> None:
        """End the process in order; with a failure, so that the supervisor starts it anew."""
        if failure is not None and self.failure is None:
            self.failure = failure
            log.error("stopping", error=str(failure), kind=type(failure).__name__)
        self._stopped.set()

    def watch(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """Run a task whose failure, or end, ends the process; the caller cancels and awaits it."""
        task = asyncio.create_task(coroutine, name=name)
        task.add_done_callback(self._ended)
        return task

    async def until_stopped(self) -> None:
        await self._stopped.wait()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            return
        failure = task.exception() or RuntimeError("ended of itself")
        log.error("task ended", task=task.get_name(), exc_info=task.exception())
        self.stop(failure)


Wired = Callable[[Process[S]], AbstractAsyncContextManager[Any]]


def run(
    name: str,
    settings_type: type[S],
    wired: Wired[S],
    *,
    use_uvloop: bool = False,
    listens: bool = True,
) -> NoReturn:
    """The whole life of a service's process; `wired` is its `app.py`'s context manager.

    A service that serves its own /livez, /readyz and /metrics says `listens=False`.
    """
    try:
        settings = settings_type.from_env(f"CELLNODE_{name.upper()}_")
    except SettingsInvalid as error:
        sys.stderr.write(f"{name}: {error}\n")
        sys.exit(EXIT_SETTINGS)
    set_up(name, settings.log_level)
    try:
        code = _in_loop(serve(name, settings, wired, listens=listens), use_uvloop=use_uvloop)
    finally:
        finish_traces()
    sys.exit(code)


async def serve(name: str, settings: S, wired: Wired[S], *, listens: bool = True) -> int:
    """Live until a signal or a failure, and tell the exit code."""
    process = Process(name, settings)
    _stop_on_signals(process)
    starting = process.readiness.require("started")
    async with AsyncExitStack() as listening:
        if listens:
            await _listen(process, listening)
        with watchdog(clock=process.clock, on_turn=process.measures.lags.append):
            life = asyncio.create_task(_live(process, wired, starting.met), name=name)
            await _until_over(process, life)
    log.info("stopped", failed=process.failure is not None)
    return EXIT_STOPPED if process.failure is None else EXIT_FAILED


async def _listen(process: Process[S], listening: AsyncExitStack) -> None:
    from services.chassis.listener import listener  # aiohttp: only who listens waits for it.

    address = process.settings.listen_address
    made = listener(address, process.readiness, process.metrics)
    process.address = await listening.enter_async_context(made)
    log.info("listening", address=process.address)


async def _live(process: Process[S], wired: Wired[S], started: Callable[[], None]) -> None:
    async with wired(process):
        started()
        log.info("started")
        await process.until_stopped()
        process.readiness.stopping()


async def _until_over(process: Process[S], life: asyncio.Task[None]) -> None:
    """Wait for the stop, then give it its time; a start under way is cancelled instead."""
    stopped = asyncio.create_task(process.until_stopped())
    await asyncio.wait({life, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    process.readiness.stopping()
    if not process.readiness.require("started").is_met:
        life.cancel()
    done, _ = await asyncio.wait({life}, timeout=process.settings.stop_timeout_seconds)
    if not done:
        log.error("did not stop in time", timeout_seconds=process.settings.stop_timeout_seconds)
        logging.shutdown()
        os._exit(EXIT_STUCK)
    if not life.cancelled() and (error := life.exception()) is not None:
        log.error("failed", exc_info=error)
        process.stop(error)


def _stop_on_signals(process: Process[S]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, process.stop)


def _in_loop(main: Coroutine[Any, Any, int], *, use_uvloop: bool) -> int:
    if not use_uvloop:
        return asyncio.run(main)
    import uvloop

    loop = uvloop.new_event_loop()
    try:
        asyncio.set_event_loop(loop)
        return int(loop.run_until_complete(main))
    finally:
        loop.close()
