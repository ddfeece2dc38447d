"""Kafka and Redis for the services: started here, or those that were named."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from cellnode.launcher.child import Child, Program
from cellnode.launcher.children import Children
from cellnode.launcher.given import check_kafka, check_redis
from cellnode.launcher.options import Options
from cellnode.launcher.places import DataDirectory, SocketPlace, UpFailed
from cellnode.launcher.programs import EMBEDDED, REAL, broker_program, redis_program
from cellnode.launcher.secured import handed_on

REDIS_SOCKET = "redis.sock"
BROKER_ADDRESS_FILE = "broker.address"
REDIS_SECONDS_MAX = 10.0
BROKER_SECONDS_MAX = 60.0  # It first reads and publishes what its journal kept.
REDIS_STOP_SECONDS = 0.5  # It keeps nothing, so it may be ended quickly.
BROKER_STOP_SECONDS = 3.0  # For the last records into the journal.
_PAUSE_SECONDS = 0.01


class Stores:
    """Where the services find the bus and Redis, and what of it has to be stopped."""

    def __init__(self, options: Options, directory: DataDirectory, children: Children) -> None:
        self._options = options
        self._directory = directory
        self._children = children
        self._sockets: SocketPlace | None = None
        self.kafka = ""
        self.redis = ""

    @property
    def has_own_broker(self) -> bool:
        return self._options.kafka is None

    async def start(self, broker_listen: str) -> None:
        """Those that were named are asked first: without them nothing need be started."""
        if self._options.kafka is not None:
            await check_kafka(self._options.kafka)
        if self._options.redis is not None:
            await check_redis(self._options.redis)
        self._sockets = SocketPlace(self._directory)
        await asyncio.gather(self._start_redis(), self.start_broker(broker_listen))

    async def start_broker(self, listen_at: str) -> None:
        """Not kept running: whoever starts it again must start its readers anew, too."""
        if self._options.kafka is not None:
            self.kafka = self._options.kafka
            return
        file = self._place(BROKER_ADDRESS_FILE)
        child = await self._started(broker_program(self._directory, file, listen_at), file)
        await _appears(file, child, BROKER_SECONDS_MAX)
        self.kafka = file.read_text().strip()

    async def stop(self) -> None:
        await asyncio.gather(
            self._children.end("redis", grace_seconds=REDIS_STOP_SECONDS),
            self._children.end("broker", grace_seconds=BROKER_STOP_SECONDS),
        )
        if self._sockets is not None:
            self._sockets.remove(REDIS_SOCKET, BROKER_ADDRESS_FILE)

    def environment(self) -> dict[str, str]:
        """What every service is told of them."""
        real = {name: os.environ.get(name, value) for name, value in REAL.items()}
        how = EMBEDDED if self.has_own_broker else real
        has_redis = self._options.redis is not None
        secured = handed_on(has_kafka=not self.has_own_broker, has_redis=has_redis)
        return {**how, **secured, "REDIS_URL": self.redis, "KAFKA_BOOTSTRAP_SERVERS": self.kafka}

    async def _start_redis(self) -> None:
        if self._options.redis is not None:
            self.redis = self._options.redis
            return
        path = self._place(REDIS_SOCKET)
        child = await self._started(redis_program(self._directory, path), path, is_kept=True)
        await _appears(path, child, REDIS_SECONDS_MAX)
        self.redis = f"unix://{path}"

    async def _started(self, program: Program, appears: Path, *, is_kept: bool = False) -> Child:
        _clear(appears)
        return await (self._children.keep if is_kept else self._children.start)(program)

    def _place(self, name: str) -> Path:
        assert self._sockets is not None, "not started"
        return self._sockets.path(name)


async def _appears(path: Path, child: Child, seconds_max: float) -> None:
    deadline = asyncio.get_running_loop().time() + seconds_max
    while not _is_there(path):
        if child.pid is None or asyncio.get_running_loop().time() > deadline:
            raise UpFailed(f"{child.name} did not start. {child.quoted_log()}")
        await asyncio.sleep(_PAUSE_SECONDS)


def _is_there(path: Path) -> bool:
    return path.exists()


def _clear(path: Path) -> None:
    path.unlink(missing_ok=True)
