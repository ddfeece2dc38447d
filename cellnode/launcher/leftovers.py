"""End the instances of a data directory: by recorded pid and start time, and by what they run."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

END_SECONDS = 2.0
ENDED_FILE = "ended.json"  # When all instances of the data directory were last ended.
_PAUSE_SECONDS = 0.02
_SESSION_FIELD = 3  # In /proc/<pid>/stat, counted from the state, which follows the name.
_START_TIME_FIELD = 19
_ZOMBIE = "Z"


@dataclass(frozen=True)
class Process:
    """One process of this machine; pid and start time together name it for ever."""

    pid: int
    session: int
    start_time: int


def end_instances(instances: Path) -> list[Process]:
    """SIGKILL every process of every instance of this directory and remove what they left.

    Returns those that would not end in END_SECONDS (normally none).
    """
    deadline = time.monotonic() + END_SECONDS
    sessions: set[int] = set()  # Kept: who leads a session may be gone before its members.
    while (living := _processes_of(instances, sessions)) and time.monotonic() < deadline:
        for process in living:
            _kill(process)
        time.sleep(_PAUSE_SECONDS)
    _tell_end(instances)
    _remove_directories(instances)
    return living


def _tell_end(instances: Path) -> None:
    """Until then they are metered; their own directories, which say more, go now."""
    if instances.is_dir() and any(instances.iterdir()):
        told = {"at": datetime.now(timezone.utc).isoformat()}
        (instances.parent / ENDED_FILE).write_text(json.dumps(told))


def _processes_of(instances: Path, sessions: set[int]) -> list[Process]:
    """Everything in the sessions of the instances: keepers, agents, interpreters."""
    everything = [process for process, _ in _all_processes()]
    sessions |= {*_recorded_sessions(instances, everything), *_running_sessions(instances)}
    return [process for process in everything if process.session in sessions]


def _recorded_sessions(instances: Path, everything: list[Process]) -> Iterator[int]:
    """Of the agents that left their pid and start time."""
    known = {(process.pid, process.start_time): process.session for process in everything}
    for record in instances.glob("*/agent.pid"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            written = json.loads(record.read_bytes())
            session = known.get((int(written["pid"]), int(written["start_time"])))
            if session is not None:
                yield session


def _running_sessions(instances: Path) -> Iterator[int]:
    """Of whoever runs one of the directories, if its record is not written yet."""
    below = os.fsencode(instances) + b"/"
    for process, arguments in _all_processes():
        if b"runtime" in arguments and any(part.startswith(below) for part in arguments):
            yield process.session


def _all_processes() -> Iterator[tuple[Process, list[bytes]]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (process := look_at(int(folder.name))) is not None:
            with contextlib.suppress(OSError):
                yield process, (folder / "cmdline").read_bytes().split(b"\0")


def look_at(pid: int) -> Process | None:
    """The process, or None where there is none or only its exit code is left."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    if fields[0] == _ZOMBIE:
        return None
    return Process(pid, int(fields[_SESSION_FIELD]), int(fields[_START_TIME_FIELD]))


def _kill(process: Process) -> None:
    """Never another process that was given the same pid: the descriptor is taken, then compared."""
    with contextlib.suppress(OSError):
        if not hasattr(os, "pidfd_open"):  # Some builds of Python: compared first, then killed.
            if look_at(process.pid) == process:
                os.kill(process.pid, signal.SIGKILL)
            return
        fd = os.pidfd_open(process.pid)
        try:
            if look_at(process.pid) == process:
                signal.pidfd_send_signal(fd, signal.SIGKILL)
        finally:
            os.close(fd)


def _remove_directories(instances: Path) -> None:
    for directory in instances.iterdir() if instances.is_dir() else ():
        _remove_far_socket(directory)
        shutil.rmtree(directory, ignore_errors=True)


def _remove_far_socket(directory: Path) -> None:
    """An instance whose directory is too deep for a socket has it in a short folder of its own."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        socket = Path(json.loads((directory / "instance.json").read_bytes())["socket"])
        if socket.parent != directory and "cellnode" in socket.parent.name:
            shutil.rmtree(socket.parent, ignore_errors=True)
