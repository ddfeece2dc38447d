"""The log of an instance: everything that agent and cell print, never more than two files of it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable

LOG_BYTES_MAX = 8 * 1024 * 1024
READ_BYTES = 64 * 1024
TAIL_BYTES = 2048


class Log:
    """Appends to a file; a full one becomes `log.1` and the one before that is gone."""

    def __init__(self, path: str, bytes_max: int = LOG_BYTES_MAX) -> None:
        self.path = path
        self.bytes_max = bytes_max
        self.rotations = 0
        self.full: int | None = None  # The file before this one, for those who read behind.
        self.listeners: set[Callable[[], None]] = set()
        self._open()

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        self.fd = os.open(self.path, flags, 0o600)
        self.size = os.fstat(self.fd).st_size

    def write(self, data: bytes) -> None:
        if self.size + len(data) > self.bytes_max and self.size:
            self._rotate()
        try:
            self.size += os.write(self.fd, data)
        except OSError:
            return  # A full disk must not stop the instance from serving.
        for listener in list(self.listeners):
            listener()

    def _rotate(self) -> None:
        full = self.fd
        self.rotations += 1
        if self.full is not None:
            os.close(self.full)
            self.full = None
        with contextlib.suppress(OSError):  # Somebody has removed it.
            os.replace(self.path, f"{self.path}.1")
        try:
            self._open()
        except OSError:
            os.ftruncate(full, 0)
            self.size = 0
            return
        self.full = full
        self.take_streams()

    def take_streams(self) -> None:
        """Send this process's own stdout and stderr here, tracebacks included."""
        os.dup2(self.fd, 1)
        os.dup2(self.fd, 2)

    def say(self, sentence: str) -> None:
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.write(f"{at} agent: {sentence}\n".encode(errors="backslashreplace"))

    def tail(self) -> str:
        """The last lines, as evidence of what went wrong."""
        try:
            with open(self.path, "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
                return file.read(TAIL_BYTES).decode(errors="replace")
        except OSError:
            return ""  # Somebody has removed it.

    def copy_from(self, fd: int) -> bool:
        """Write what a pipe holds now; False when its writers have gone."""
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return True
        if data:
            self.write(data)
        return bool(data)
