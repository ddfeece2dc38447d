"""Processes of this host: looked at, watched and ended without ever hitting a reused pid."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from services.provisioner.providers.pidfd import pidfd_open, pidfd_send_signal

_ZOMBIE = "Z"
_SESSION_FIELD = 3  # In /proc/<pid>/stat, counted from the state, which follows the name.
_START_TIME_FIELD = 19
_END_PAUSE_SECONDS = 0.01


@dataclass(frozen=True)
class Process:
    """One process; pid and start time together name it until the next boot."""

    pid: int
    start_time: int
    session: int

    def is_alive(self) -> bool:
        return look_at(self.pid) == self

    def send(self, number: signal.Signals) -> None:
        """Signal this very process; one that has ended is none of our business."""
        with contextlib.suppress(OSError), _descriptor(self) as fd:
            pidfd_send_signal(fd, number)


def look_at(pid: int) -> Process | None:
    """The process, or None where there is none or only its exit code is left."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    if fields[0] == _ZOMBIE:
        return None
    return Process(pid, int(fields[_START_TIME_FIELD]), int(fields[_SESSION_FIELD]))


def named(pid: int, start_time: int) -> Process | None:
    """The living process of this pid and start time."""
    process = look_at(pid)
    return process if process is not None and process.start_time == start_time else None


def inside(directory: Path) -> list[Process]:
    """All that belong to an instance directory, and all in their sessions."""
    everything = list(_all())
    ours = {process for process in everything if _belongs(process.pid, os.fsencode(directory))}
    sessions = {process.session for process in ours}
    return [process for process in everything if process in ours or process.session in sessions]


async def end_all(directory: Path, seconds_max: float) -> list[Process]:
    """SIGKILL all that belong to the directory; returns those that would not end."""
    deadline = asyncio.get_running_loop().time() + seconds_max
    while living := await asyncio.to_thread(inside, directory):
        for process in living:
            process.send(signal.SIGKILL)
        if asyncio.get_running_loop().time() > deadline:
            return living
        await asyncio.sleep(_END_PAUSE_SECONDS)
    return []


class Ending:
    """Tells, within milliseconds, that a process has ended; holds a descriptor until then."""

    def __init__(self, process: Process) -> None:
        """Raises ProcessLookupError if it has ended already."""
        self._fd = pidfd_open(process.pid)
        if not process.is_alive():
            os.close(self._fd)
            raise ProcessLookupError(process.pid)
        self._loop = asyncio.get_running_loop()
        self.ended = asyncio.Event()
        self._loop.add_reader(self._fd, self.close)

    def close(self) -> None:
        """Stop watching, and let go of whoever waits."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
        self.ended.set()


async def reaped(pid: int) -> None:
    """Take the exit code of a child of ours when it ends, so that no zombie is left."""
    if (process := look_at(pid)) is not None:
        with contextlib.suppress(ProcessLookupError):
            ending = Ending(process)
            try:
                await ending.ended.wait()
            finally:
                ending.close()
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222  (WNOHANG does not wait)


@contextlib.contextmanager
def _descriptor(process: Process) -> Iterator[int]:
    """A descriptor of this very process: taken first, compared then."""
    fd = pidfd_open(process.pid)
    try:
        if look_at(process.pid) != process:
            raise ProcessLookupError(process.pid)
        yield fd
    finally:
        os.close(fd)


def _all() -> Iterator[Process]:
    for name in os.listdir("/proc"):
        if name.isdigit() and (process := look_at(int(name))) is not None:
            yield process


def _belongs(pid: int, directory: bytes) -> bool:
    """Keeper and agent are told the directory; interpreters live in it and call it home."""
    try:
        told = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        has = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        stays = os.readlink(f"/proc/{pid}/cwd".encode())
    except OSError:
        return False
    work = directory + b"/work"
    homes = {b"HOME=" + work, b"TMPDIR=" + work}
    return directory in told or not homes.isdisjoint(has) or stays in {directory, work}
