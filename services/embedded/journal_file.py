"""The journal's one file: frames that are whole or not there, replaced as a whole by rename."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import threading
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

NAME = "records"
FRAME_BYTES_MAX = 256 * 1024 * 1024
LOCK_SECONDS_MAX = 5.0  # For the broker of a killed `up`, which is just ending.
LOCK_PAUSE_SECONDS = 0.02
_MAGIC = b"cnj1"
_HEAD = struct.Struct(">4sII")  # Magic, checksum of the payload, its length.


class JournalInUse(RuntimeError):
    """Another process writes this journal."""


@dataclass(frozen=True)
class Found:
    """What a file held: the frames that are whole, and how much of it is not."""

    frames: tuple[bytes, ...]
    damaged_bytes: int


class JournalFile:
    """Held open, and locked, from entering to leaving. A frame is on the disk or OSError."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._lock = folder / "lock"
        self._lock_fd = -1
        self._fd = -1
        self.bytes_written = 0

    def __enter__(self) -> Self:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock_fd = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + LOCK_SECONDS_MAX
        while not _locked(self._lock_fd):
            if time.monotonic() > deadline:
                os.close(self._lock_fd)
                raise JournalInUse(f"{self.path.parent} is written by another process")
            _pause()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for fd in (self._fd, self._lock_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._lock_fd = -1

    def read(self) -> Found:
        """All whole frames in order; what is damaged is passed over, and a copy of it is kept."""
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return Found((), 0)
        found = frames_of(content)
        if found.damaged_bytes:
            aside = self.path.with_suffix(".damaged")
            aside.unlink(missing_ok=True)
            os.link(self.path, aside)
        return found

    def append(self, payload: bytes) -> None:
        """Return once it is on the disk. After an OSError only `replace` makes it whole again."""
        if self._fd < 0:
            raise OSError("the journal's file is not open; it is written anew first")
        try:
            _write(self._fd, _frame(payload))
            os.fsync(self._fd)
        except OSError:
            self._close()
            raise
        self.bytes_written += _HEAD.size + len(payload)

    def replace(self, payloads: Iterable[bytes]) -> None:
        """Put these in place of all that was there: at any moment the old or the new is whole."""
        fresh = self.path.with_suffix(".new")
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            for payload in payloads:
                _write(fd, _frame(payload))
            os.fsync(fd)
            size = os.fstat(fd).st_size
            fresh.rename(self.path)
        except OSError:
            os.close(fd)
            fresh.unlink(missing_ok=True)
            raise
        self._close()
        self._fd, self.bytes_written = fd, size
        _sync_folder(self.path.parent)

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def frames_of(content: bytes) -> Found:
    """The payloads of whole frames; behind a damaged one reading goes on at the next whole one."""
    frames, damaged, place = [], 0, 0
    while place < len(content):
        payload = _whole_frame(content, place)
        if payload is None:
            following = content.find(_MAGIC, place + 1)
            until = len(content) if following < 0 else following
            damaged += until - place
            place = until
        else:
            frames.append(payload)
            place += _HEAD.size + len(payload)
    return Found(tuple(frames), damaged)


def _whole_frame(content: bytes, place: int) -> bytes | None:
    if len(content) - place < _HEAD.size:
        return None
    magic, checksum, length = _HEAD.unpack_from(content, place)
    begin = place + _HEAD.size
    if magic != _MAGIC or length > min(FRAME_BYTES_MAX, len(content) - begin):
        return None
    payload = content[begin : begin + length]
    return payload if zlib.crc32(payload) == checksum else None


def _frame(payload: bytes) -> bytes:
    return _HEAD.pack(_MAGIC, zlib.crc32(payload), len(payload)) + payload


def _write(fd: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(fd, left) :]


def _locked(fd: int) -> bool:
    with contextlib.suppress(BlockingIOError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _pause() -> None:
    """A lock of another process cannot be awaited with a deadline in any other way."""
    threading.Event().wait(LOCK_PAUSE_SECONDS)
