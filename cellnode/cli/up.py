"""`up`: the whole system on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cellnode.cli.exits import wrong_usage
from cellnode.cli.parameters import option

DATA = Path("~/.cellnode")
GATEWAY = "127.0.0.1:8080"
PORT_MAX = 65535


def up(
    *,
    data: Annotated[
        Path, option(f"Checkpoints, instances and logs; default: {DATA}.", metavar="DIRECTORY")
    ] = DATA,
    gateway: Annotated[
        str,
        option(
            f"Where nodes are called; port 0 takes any free one; default: {GATEWAY}.",
            metavar="HOST:PORT",
        ),
    ] = GATEWAY,
    kafka: Annotated[
        str | None,
        option("A Kafka that runs elsewhere; without it a broker is started.", metavar="HOST:PORT"),
    ] = None,
    redis: Annotated[
        str | None,
        option("A Redis that runs elsewhere; without it one is started.", metavar="URL"),
    ] = None,
    quiet: Annotated[bool, option("Say nothing but errors.", "--quiet", "-q")] = False,
) -> int:
    """Start the whole system here; Ctrl-C stops it.

    The next start in the same directory brings the nodes back. It needs Linux, Python 3.11 or
    newer and `pip install 'cellnode[server]'`.
    """
    address = host_and_port(gateway)
    from cellnode.launcher import run_up

    return run_up(data, address, kafka=kafka, redis=redis, quiet=quiet)


def host_and_port(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not (port.isascii() and port.isdecimal()) or int(port) > PORT_MAX:
        raise wrong_usage(f"{text!r} is not HOST:PORT", f"for example {GATEWAY}")
    return host.strip("[]"), int(port)
