"""The command `cellnode`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from cellnode.launcher import run_up

GATEWAY = "127.0.0.1:8080"
PORT_MAX = 65535


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0, or 1 with the reason on standard error."""
    given = _parser().parse_args(arguments)
    return run_up(given.data, given.gateway, quiet=given.quiet)


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
