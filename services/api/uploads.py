"""Blobs on their way: what has arrived lies in `uploads` until it is whole and right."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections import OrderedDict
from pathlib import Path
from typing import Any

from services.api.problems import ApiProblem
from services.api.store_files import READ_ONLY, make_folder, size_of, sync_folder

SYNC_BYTES = 64 * 1024 * 1024  # Written back this often, so that the end need not wait for all.
READ_BYTES = 1024 * 1024
REMEMBERED_MAX = 64  # Digests under way; of others the file is read again.
OPENINGS_MAX = 5


# A file as it was: inode, size, time of change.
_State = tuple[int, int, int]


class Upload:
    """One blob that is being written; whoever holds it holds the lock of its file."""

    def __init__(self, fd: int, path: Path, digest: Any, received: int) -> None:
        self.received = received
        self._fd = fd
        self._path = path
        self._digest: Any = digest  # None: not that of the file any more.
        self._synced = received

    @property
    def sha256(self) -> str:
        return self._path.name

    def write(self, data: bytes) -> None:
        try:
            self._write(memoryview(data))
        except OSError:
            self.drop()  # Its room is needed more than what it holds.
            raise
        self._digest.update(data)
        self.received += len(data)
        if self.received - self._synced >= SYNC_BYTES:
            os.fdatasync(self._fd)
            self._synced = self.received

    def _write(self, view: memoryview) -> None:
        while view:
            view = view[os.write(self._fd, view) :]

    def finish(self, target: Path) -> None:
        """Give it its place if it is what its name says; else nothing of it is kept."""
        found = self._digest.hexdigest()
        if found != self.sha256:
            self.drop()
            raise ApiProblem(
                "digest-mismatch",
                f"{self.received} bytes arrived with the digest {found}; none of them is kept",
                remedy="send the blob again from its start",
            )
        os.fchmod(self._fd, READ_ONLY)
        os.fsync(self._fd)
        os.utime(self._fd)
        make_folder(target.parent)
        os.replace(self._path, target)
        sync_folder(target.parent)

    def back_to(self, received: int) -> None:
        """Forget what was written after this; it is not known to be the blob's."""
        self._digest = None
        os.ftruncate(self._fd, received)

    def drop(self) -> None:
        self._digest = None
        self._path.unlink(missing_ok=True)

    def close(self) -> tuple[_State, Any]:
        """Let go of the file; others may go on with it, from this state."""
        try:
            return _state(self._fd), self._digest
        finally:
            os.close(self._fd)


class Uploads:
    """The blobs on their way in one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._digests: OrderedDict[_State, Any] = OrderedDict()

    def received_bytes(self, sha256: str) -> int:
        return size_of(self.directory / sha256) or 0

    def begin(self, sha256: str) -> Upload:
        """From the first byte; what had arrived of it is forgotten."""
        fd = self._open(sha256)
        os.ftruncate(fd, 0)
        return Upload(fd, self.directory / sha256, hashlib.sha256(), 0)

    def resume(self, sha256: str, start: int) -> Upload:
        """Go on where it stopped, and nowhere else."""
        fd = self._open(sha256)
        path = self.directory / sha256
        received = os.fstat(fd).st_size
        if start != received:
            if received == 0:
                path.unlink()
            os.close(fd)
            sentence = f"{received} bytes have arrived, this piece starts at {start}"
            raise _conflict(sentence, received, f"go on at {received}, or send the whole blob")
        try:
            digest = self._digests.pop(_state(fd), None) or _digest(fd)
            os.lseek(fd, 0, os.SEEK_END)
            os.utime(fd)
        except OSError:
            os.close(fd)
            raise
        return Upload(fd, path, digest, received)

    def end(self, upload: Upload) -> None:
        """Let go of it, and remember its digest for the next piece."""
        state, digest = upload.close()
        if digest is not None:
            self._digests[state] = digest
        while len(self._digests) > REMEMBERED_MAX:
            self._digests.popitem(last=False)

    def _open(self, sha256: str) -> int:
        """The file, locked, and still the one of this name."""
        make_folder(self.directory)
        path = self.directory / sha256
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        for _ in range(OPENINGS_MAX):
            fd = os.open(path, flags, 0o600)
            if _is_locked(fd) and _is_at(fd, path):
                return fd
            size = os.fstat(fd).st_size
            os.close(fd)
        sentence = "another upload of this blob is under way"
        raise _conflict(sentence, size, "ask which blobs are missing when it is over")


def _is_locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(fd: int, path: Path) -> bool:
    """False when it got its place, or was removed, before we had the lock."""
    try:
        return os.fstat(fd).st_ino == path.stat().st_ino
    except FileNotFoundError:
        return False


def _state(fd: int) -> _State:
    found = os.fstat(fd)
    return found.st_ino, found.st_size, found.st_mtime_ns


def _digest(fd: int) -> Any:
    digest, place = hashlib.sha256(), 0
    while chunk := os.pread(fd, READ_BYTES, place):
        digest.update(chunk)
        place += len(chunk)
    return digest


def _conflict(sentence: str, received: int, remedy: str) -> ApiProblem:
    return ApiProblem("upload-conflict", sentence, remedy=remedy, received_bytes=received)
