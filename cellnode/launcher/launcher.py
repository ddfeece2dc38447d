"""The whole system on this machine, started inward-out and stopped outward-in.

What dies is started again; only the broker is not, since the log that it held is gone with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cellnode.launcher.child import Child, in_words, keep_running
from cellnode.launcher.leftovers import end_instances
from cellnode.launcher.places import DataDirectory, DirectoryLock, SocketPlace, UpFailed
from cellnode.launcher.programs import (
    CONTROL_SERVICES,
    Listener,
    ReservedPort,
    broker_program,
    gateway_program,
    listen,
    redis_program,
    service_program,
)
from cellnode.launcher.ready import wait_until_ready

REDIS_SOCKET = "redis.sock"
BROKER_ADDRESS_FILE = "broker.address"
APPEAR_SECONDS_MAX = 10.0  # For Redis's socket and the broker's address.
SERVICE_STOP_SECONDS = 1.5  # For what a gateway still answers, and for last records.
STORE_STOP_SECONDS = 0.5  # Redis and broker keep nothing, so they may be ended quickly.
LOG_LOOK_SECONDS = 5.0
_PAUSE_SECONDS = 0.01


@dataclass(frozen=True)
class Addresses:
    """Where everything can be reached, as printed and as written to `addresses.json`."""

    gateway: str
    kafka: str
    redis: str
    data: str
    services: Mapping[str, str]  # host:port of /livez, /readyz and /metrics.

    def as_json(self) -> str:
        return json.dumps({**vars(self), "services": dict(self.services)}, indent=2) + "\n"


class Launcher:
    """Everything that `up` has started. `start`, then `wait`, then `stop`, in this order."""

    def __init__(self, data: Path, gateway: tuple[str, int], tell: Callable[[str], None]) -> None:
        self._directory = DataDirectory(data.expanduser().resolve())
        self._gateway = gateway
        self._tell = tell
        self._lock = DirectoryLock(self._directory)
        self._children: dict[str, Child] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._ports = {name: ReservedPort() for name in CONTROL_SERVICES}
        self._listener: Listener | None = None
        self._sockets: SocketPlace | None = None

    @property
    def is_up(self) -> bool:
        """Whether there is something to stop."""
        return bool(self._children)

    async def start(self) -> Addresses:
        """Everything is up and ready, or UpFailed; then `stop` still has to be called."""
        self._directory.make()
        self._lock.take()
        self._directory.addresses.unlink(missing_ok=True)  # Of a former one that was killed.
        self._end_leftovers("left by a former `cellnode up` that was killed")
        self._sockets = SocketPlace(self._directory)
        self._listener = listen(*self._gateway)
        redis, kafka = await asyncio.gather(
            self._start_redis(self._sockets), self._start_broker(self._sockets)
        )
        await self._start_services(redis, kafka, self._listener)
        addresses = Addresses(
            gateway=f"http://{self._listener.address}",
            kafka=kafka,
            redis=redis,
            data=str(self._directory.root),
            services=self._operators_addresses(),
        )
        self._write_addresses(addresses)
        return addresses

    async def wait(self, stopped: asyncio.Event) -> None:
        """Until told to stop; UpFailed if the broker ends, since its log cannot be brought back."""
        asked = asyncio.ensure_future(stopped.wait())
        broker = asyncio.ensure_future(self._without_broker())
        small = asyncio.ensure_future(self._keep_logs_small())
        try:
            await self._first_of(asked, broker)
        finally:
            for task in (asked, broker, small):
                task.cancel()

    async def _without_broker(self) -> None:
        code = await self._children["broker"].ended()
        raise UpFailed(
            f"the embedded broker ended ({in_words(code)}), and its log, which is all that is "
            "known of the nodes, is gone with it; so everything is stopped. Start again and "
            "deploy again. For a log that survives, use Apache Kafka."
        )

    async def stop(self) -> None:
        """Gateway, services, instances, Redis and broker, in this order; nothing is left."""
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        await self._end("gateway", grace_seconds=SERVICE_STOP_SECONDS)
        await self._end(*CONTROL_SERVICES, grace_seconds=SERVICE_STOP_SECONDS)
        if self._lock.is_held:
            await asyncio.to_thread(self._end_leftovers, "")
        await self._end("redis", "broker", grace_seconds=STORE_STOP_SECONDS)
        self._let_go()

    async def _start_redis(self, sockets: SocketPlace) -> str:
        path = sockets.path(REDIS_SOCKET)
        path.unlink(missing_ok=True)
        child = await self._started(
            "redis", Child(redis_program(self._directory, path), self._log("redis"))
        )
        await self._appears(path, child)
        self._keep(child)
        return f"unix://{path}"

    async def _start_broker(self, sockets: SocketPlace) -> str:
        """Not kept running: a new broker would be a new, empty log."""
        file = sockets.path(BROKER_ADDRESS_FILE)
        file.unlink(missing_ok=True)
        child = await self._started(
            "broker", Child(broker_program(self._directory, file), self._log("broker"))
        )
        await self._appears(file, child)
        return file.read_text().strip()

    async def _start_services(self, redis: str, kafka: str, listener: Listener) -> None:
        shared = {"REDIS_URL": redis, "KAFKA_BOOTSTRAP_SERVERS": kafka}
        programs = [
            *(
                service_program(name, self._directory, shared, port.address)
                for name, port in self._ports.items()
            ),
            gateway_program(self._directory, shared, listener),
        ]
        for program in programs:
            child = Child(program, self._log(program.name))
            self._keep(await self._started(program.name, child))
        services = self._operators_addresses()
        ready = asyncio.ensure_future(wait_until_ready(self._children, services))
        try:
            await self._first_of(ready)
        finally:
            ready.cancel()

    async def _first_of(self, *awaited: asyncio.Future[Any]) -> None:
        """One of these is over, or something cannot be kept running: then UpFailed."""
        await asyncio.wait({*awaited, *self._keepers}, return_when="FIRST_COMPLETED")
        for over in (*self._keepers, *awaited):
            if over.done():
                over.result()

    async def _started(self, name: str, child: Child) -> Child:
        self._children[name] = child
        child.log.write_bytes(b"")
        await child.start()
        return child

    def _keep(self, child: Child) -> None:
        self._keepers.append(asyncio.ensure_future(keep_running(child, self._tell)))

    async def _appears(self, path: Path, child: Child) -> None:
        deadline = asyncio.get_running_loop().time() + APPEAR_SECONDS_MAX
        while not _is_there(path):
            if child.pid is None or asyncio.get_running_loop().time() > deadline:
                raise UpFailed(f"{child.name} did not start. {child.quoted_log()}")
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _keep_logs_small(self) -> None:
        while True:
            await asyncio.sleep(LOG_LOOK_SECONDS)
            for child in self._children.values():
                child.keep_log_small()

    def _end_leftovers(self, origin: str) -> None:
        had_some = origin and any(self._directory.instances.iterdir())
        survivors = end_instances(self._directory.instances)
        if had_some:
            self._tell(f"instances {origin} were ended")
        for process in survivors:
            self._tell(f"process {process.pid} of an instance could not be ended")

    async def _end(self, *names: str, grace_seconds: float) -> None:
        children = [self._children[name] for name in names if name in self._children]
        await asyncio.gather(*(child.stop(grace_seconds) for child in children))

    def _let_go(self) -> None:
        for port in self._ports.values():
            port.release()
        if self._listener is not None:
            self._listener.socket.close()
        if self._sockets is not None:
            self._sockets.remove(REDIS_SOCKET, BROKER_ADDRESS_FILE)
        if self._lock.is_held:
            self._directory.addresses.unlink(missing_ok=True)
            self._lock.release()

    def _log(self, name: str) -> Path:
        return self._directory.logs / f"{name}.log"

    def _operators_addresses(self) -> dict[str, str]:
        """Where each service answers /livez, /readyz and /metrics."""
        own = {name: port.address for name, port in self._ports.items()}
        return own | ({"gateway": self._listener.address} if self._listener else {})

    def _write_addresses(self, addresses: Addresses) -> None:
        """Atomically: who waits for the file never reads half of it."""
        written = self._directory.addresses.with_suffix(f".{os.getpid()}")
        written.write_text(addresses.as_json())
        with contextlib.suppress(FileNotFoundError):
            written.replace(self._directory.addresses)


def _is_there(path: Path) -> bool:
    return path.exists()
