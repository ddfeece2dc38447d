"""Files of the store: written beside their place, synced and renamed; whole, or not there."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from services.api.problems import ApiProblem

READ_ONLY = 0o444
READ_WRITE = 0o644
NEW_PREFIX = ".new-"
LOCK_SECONDS_MAX = 10.0  # For the books to be free.
_LOCK_LOOK_SECONDS = 0.02
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextlib.contextmanager
def told_as_problems(directory: Path) -> Iterator[None]:
    """What the operating system refuses, told with a remedy."""
    try:
        yield
    except OSError as error:
        why = error.strerror or str(error)
        if error.errno in _FULL:
            remedy = "remove checkpoints that nobody needs, or give the store more room"
            raise ApiProblem("store-full", f"the store: {why}", remedy=remedy) from error
        remedy = f"let the api read and write {directory}"
        raise ApiProblem("store-unavailable", f"the store: {why}", remedy=remedy) from error


def write_whole(path: Path, data: bytes, mode: int) -> None:
    """Whole or not at all, also when the machine stops in between."""
    make_folder(path.parent)
    fd, fresh = tempfile.mkstemp(dir=path.parent, prefix=NEW_PREFIX)
    try:
        with open(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(fd, mode)
            os.fsync(fd)
        os.replace(fresh, path)
    finally:
        with contextlib.suppress(OSError):  # It has its place, where all went well.
            os.unlink(fresh)
    sync_folder(path.parent)


def remove(path: Path) -> bool:
    """Whether it was there."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    sync_folder(path.parent)
    return True


def make_folder(path: Path) -> None:
    """A new folder survives a power cut only once its parent is synced."""
    if not path.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def size_of(path: Path) -> int | None:
    """None when there is no such file."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def files(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Those of a folder; none if it is not there."""
    try:
        with os.scandir(folder) as entries:
            yield from (entry for entry in entries if entry.is_file(follow_symlinks=False))
    except FileNotFoundError:
        return


def is_digest(text: str) -> bool:
    return _DIGEST.fullmatch(text) is not None


class Lock:
    """One change of the books at a time, among threads and among processes."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "lock"
        self._threads = threading.Lock()
        self._pause = threading.Event()  # Never set: only waited for.

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        if not self._threads.acquire(timeout=LOCK_SECONDS_MAX):
            raise _busy()
        try:
            make_folder(self._path.parent)
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, READ_WRITE)
            try:
                self._take(fd)
                yield
            finally:
                os.close(fd)  # The kernel gives the lock back, also for who was killed.
        finally:
            self._threads.release()

    def _take(self, fd: int) -> None:
        for _ in range(int(LOCK_SECONDS_MAX / _LOCK_LOOK_SECONDS)):
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                self._pause.wait(_LOCK_LOOK_SECONDS)
        raise _busy()


def _busy() -> ApiProblem:
    sentence = f"somebody else has been changing the store for {LOCK_SECONDS_MAX:g} s"
    return ApiProblem("store-unavailable", sentence, remedy="try again soon")
