"""The command `cellnode`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cellnode.launcher import Launcher
from cellnode.launcher_places import UpFailed, check_installed
from cellnode.launcher_report import Report

GATEWAY = "127.0.0.1:8080"
PORT_MAX = 65535


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0, or 1 with the reason on standard error."""
    given = _parser().parse_args(arguments)
    try:
        check_installed()
        return asyncio.run(_up(given.data, given.gateway, Report(quiet=given.quiet)))
    except UpFailed as error:
        print(f"cellnode: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cellnode", description="Turn a notebook cell into a load-balanced network service."
    )
    parser.add_argument("--version", action="version", version=f"cellnode {_version()}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    up = commands.add_parser(
        "up", help="start the whole system here", description="Start the whole system here."
    )
    up.add_argument(
        "--data",
        type=Path,
        default=Path("~/.cellnode"),
        metavar="DIR",
        help="checkpoints, instances and logs (default: %(default)s)",
    )
    up.add_argument(
        "--gateway",
        type=_host_and_port,
        default=GATEWAY,
        metavar="HOST:PORT",
        help="where nodes are called; port 0 takes any free one (default: %(default)s)",
    )
    up.add_argument("--quiet", action="store_true", help="say nothing but errors")
    return parser


def _host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > PORT_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not HOST:PORT, for example {GATEWAY}")
    return host.strip("[]"), int(port)


def _version() -> str:
    try:
        return version("cellnode")
    except PackageNotFoundError:
        return "of a checkout that is not installed"


async def _up(data: Path, gateway: tuple[str, int], report: Report) -> int:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, stopped.set)
    begun = loop.time()
    launcher = Launcher(data, gateway, report.note)
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
    return 0


async def _stop(launcher: Launcher, report: Report) -> None:
    begun = asyncio.get_running_loop().time()
    was_up = launcher.is_up
    if was_up:
        report.note("stopping")
    await launcher.stop()
    if was_up:
        seconds = asyncio.get_running_loop().time() - begun
        report.note(f"everything is gone after {seconds:.1f} s")


async def _started(launcher: Launcher, report: Report, begun: float) -> None:
    report.note("starting Redis, a Kafka broker, provisioner, health and gateway")
    addresses = await launcher.start()
    report.ready(addresses, asyncio.get_running_loop().time() - begun)
