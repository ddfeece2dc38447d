"""One server as a child process in a directory of its own: bounded, logged, killable by pid."""

from __future__ import annotations

import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

LOOPBACK = "127.0.0.1"
# Below the ports that the kernel gives to callers: while a server is down, a caller that tries its
# port again and again could otherwise be given that very port, and keep it.
PORTS = range(20_000, 32_000)
PORT_TRIES = 50
STOP_SECONDS_MAX = 20.0
PAUSE_SECONDS = 0.02
QUOTED_CHARACTERS = 3_000


class NotInstalled(Exception):
    """What the server needs is not on this machine; the sentence says what and how to get it."""


class NotReady(Exception):
    """The server did not come up in its time; the end of its log is quoted."""


class ServerProcess:
    """Entered, the server answers; left, it is gone with its directory."""

    name = "server"
    ready_line = "ready"
    start_seconds_max = 30.0
    environment: Mapping[str, str] | None = None  # As ours, unless a server has its own.

    def __init__(self) -> None:
        """A directory of its own, short enough for sockets in it."""
        self.directory = Path(tempfile.mkdtemp(prefix=f"{self.name}-", dir="/tmp"))
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """What is started, anew each time."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether somebody listens there."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Of the one that was started last; None while it runs."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Return once it answers, or raise NotReady."""
        assert not self.is_running, f"{self.name} runs already"
        begun_at = len(self.log())
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                cwd=self.directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._until_ready(begun_at)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL when that takes too long."""
        if not self.is_running:
            return
        self.resume()
        self._send(signal.SIGTERM)
        try:
            self._wait()
        except subprocess.TimeoutExpired:
            self.kill()

    def terminate(self) -> None:
        """SIGTERM; what becomes of it is for the caller to see."""
        self._send(signal.SIGTERM)

    def wait(self) -> None:
        """Until it has ended."""
        self._wait()

    def kill(self) -> None:
        """SIGKILL; returns when it is gone. What it had on its disk is there for `start`."""
        if self.is_running:
            self._send(signal.SIGKILL)
            self._wait()

    def restart(self) -> None:
        """SIGKILL, and up again at the same address with what is on its disk."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        self._send(signal.SIGCONT)

    def log(self) -> str:
        file = self.directory / "log"
        return file.read_text(errors="replace") if file.exists() else ""

    def remove(self) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        is_up = False
        try:
            self.start()
            is_up = True
        finally:
            if not is_up:
                self.remove()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.remove()

    def _until_ready(self, begun_at: int) -> None:
        deadline = time.monotonic() + self.start_seconds_max
        while not (self.ready_line in self.log()[begun_at:] and self.answers()):
            if not self.is_running:
                raise NotReady(f"{self.name} ended: {self._quoted(begun_at)}")
            if time.monotonic() > deadline:
                seconds = self.start_seconds_max
                raise NotReady(f"{self.name} not up in {seconds} s: {self._quoted(begun_at)}")
            time.sleep(PAUSE_SECONDS)

    def _quoted(self, begun_at: int) -> str:
        return self.log()[begun_at:][-QUOTED_CHARACTERS:]

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None, "not started"
        self._process.send_signal(number)

    def _wait(self) -> None:
        assert self._process is not None, "not started"
        self._process.wait(STOP_SECONDS_MAX)


def free_port() -> int:
    """A loopback port that nobody listens at and that the kernel gives to no caller."""
    for port in random.sample(PORTS, PORT_TRIES):
        with socket.socket() as probe:
            if probe.connect_ex((LOOPBACK, port)) != 0 and _can_bind(port):
                return port
    raise NotReady(f"no free port of {PORT_TRIES} tried")


def listens(port: int) -> bool:
    with socket.socket() as caller:
        caller.settimeout(1)
        return caller.connect_ex((LOOPBACK, port)) == 0


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
