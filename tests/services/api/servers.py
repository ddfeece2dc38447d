"""A broker and a Redis for as long as a file of tests runs, with their faults."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.embedded.redis_process import socket_arguments, socket_url

READY_SECONDS = 5.0


class RedisServer:
    """On a Unix socket; it may be killed and started again, empty."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "s"
        self.url = socket_url(self._path)
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            socket_arguments(self._path), cwd=self._path.parent, stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + READY_SECONDS
        while not self._answers():
            assert time.monotonic() < deadline, f"no server on {self._path}"
            time.sleep(0.005)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as caller:
            return caller.connect_ex(str(self._path)) == 0


@contextmanager
def serving_redis() -> Iterator[RedisServer]:
    with tempfile.TemporaryDirectory(prefix="redis-", dir="/tmp") as directory:
        server = RedisServer(Path(directory))
        try:
            yield server
        finally:
            server.kill()
