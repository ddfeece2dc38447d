"""Processes of services under a bad day: killed, paused, sent away, and started again."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.sources import ROOT

STOP_SECONDS_MAX = 15.0
LOOK_SECONDS = 0.1
UNCACHED = "PYTHONDONTWRITEBYTECODE"  # Who is started a hundred times compiles once.
RESTART_SECONDS = 0.5  # As soon as a supervisor would.


class ServiceProcess:
    """One member of a service's group; it knows whether it should run."""

    def __init__(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str], directory: Path
    ) -> None:
        self.name = name
        self.starts = 0
        self.is_wanted = False
        self._command = [sys.executable, "-P", "-m", *arguments]
        self._environment = {
            **{name: value for name, value in os.environ.items() if name != UNCACHED},
            "PYTHONPATH": str(ROOT),
            "CELLNODE_DATA": str(directory),
            **environment,
        }
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    @property
    def pid(self) -> int:
        return 0 if self._process is None else self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> Path:
        return self._directory / f"{self.name}.log"

    def start(self) -> None:
        with self._lock:
            self.is_wanted = True
            if self.is_running:
                return
            self.starts += 1
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    self._command,
                    cwd=self._directory,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )

    def send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            if self.is_running:
                os.kill(self.pid, number)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL when that takes too long; it is not started again."""
        self.is_wanted = False
        with self._lock:
            self.send(signal.SIGCONT)
            self.send(signal.SIGTERM)
            if self._process is None:
                return
            try:
                self._process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


class Supervisor:
    """Starts again what has ended and should run, as a cluster does."""

    def __init__(self, members: Sequence[ServiceProcess]) -> None:
        self._members = members
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)

    def __enter__(self) -> Supervisor:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        ended: dict[str, float] = {}
        while not self._stopping.wait(LOOK_SECONDS):
            for one in self._members:
                if not one.is_wanted or one.is_running:
                    ended.pop(one.name, None)
                elif time.monotonic() - ended.setdefault(one.name, time.monotonic()) > (
                    RESTART_SECONDS
                ):
                    one.start()
