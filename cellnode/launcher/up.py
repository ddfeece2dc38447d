"""The life of one `cellnode up`: signals, what is told, and the exit code."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from cellnode.launcher.launcher import Launcher
from cellnode.launcher.options import DATA, GATEWAY, Options
from cellnode.launcher.places import UpFailed, check_installed
from cellnode.launcher.report import Report

EXIT_STOPPED, EXIT_FAILED = 0, 1
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_up(
    data: Path = DATA,
    gateway: tuple[str, int] = GATEWAY,
    *,
    kafka: str | None = None,
    redis: str | None = None,
    quiet: bool = False,
) -> int:
    """Start everything, serve until a signal, stop everything; failures go to standard error."""
    options = Options(data, gateway, kafka, redis, quiet)
    try:
        check_installed()
        return asyncio.run(_up(options, Report(quiet=quiet)))
    except UpFailed as error:
        print(f"cellnode: {error}", file=sys.stderr)
        return EXIT_FAILED


async def _up(options: Options, report: Report) -> int:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in _STOPPING:
        loop.add_signal_handler(number, stopped.set)
    begun = loop.time()
    launcher = Launcher(options, report.note)
    try:
        starting = asyncio.ensure_future(_started(launcher, report, begun))
        asked = asyncio.ensure_future(stopped.wait())
        await asyncio.wait({starting, asked}, return_when="FIRST_COMPLETED")
        if starting.done():
            starting.result()
            await launcher.wait(stopped)
        else:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
    finally:
        await _stop(launcher, report)
    return EXIT_STOPPED


async def _stop(launcher: Launcher, report: Report) -> None:
    begun = asyncio.get_running_loop().time()
    was_up = launcher.is_up
    if was_up:
        report.note("stopping")
    await launcher.stop()
    if was_up:
        seconds = asyncio.get_running_loop().time() - begun
        report.note(f"stopped after {seconds:.1f} s; the next start brings nodes back")


async def _started(launcher: Launcher, report: Report, begun: float) -> None:
    report.note(f"starting {launcher.what_starts}")
    addresses = await launcher.start()
    report.ready(addresses, asyncio.get_running_loop().time() - begun)
