"""The parent of an agent: tiny, outlives it, and leaves word of how it ended."""

from __future__ import annotations

import json
import os
import signal
import sys
import time

CLEAN_UP_SECONDS_MAX = 2.0


def run(directory: str) -> int:
    """Fork the agent, wait for it, write `exit.json`."""
    if os.getpid() != os.getsid(0):
        _lead_session()
    pid = os.fork()
    if pid == 0:
        # Imported by the child alone: the keeper stays small.
        from runtime.agent import run as run_agent

        sys.exit(run_agent(directory))
    made_at = moment(time.time())
    told = {"pid": pid, "start_time": start_time_of(pid), "at": made_at}
    write_json(directory, "agent.pid", told)
    _outlive_group_signals()
    _adopt_orphans()
    _, status = os.waitpid(pid, 0)
    ended_at = moment(time.time())
    _end_orphans()
    code = os.waitstatus_to_exitcode(status)
    try:
        write_json(directory, "exit.json", exit_document(code, ended_at))
    except OSError:
        return 1  # The directory is gone, or its disk is full: nobody to tell.
    return 0


def _lead_session() -> None:
    # A leader of a process group cannot start a session; its child can.
    if os.getpid() == os.getpgrp() and os.fork() != 0:
        os._exit(0)
    os.setsid()


def write_json(directory: str, name: str, document: dict[str, object]) -> None:
    """Whole or not at all: readers never see half a file."""
    path = os.path.join(directory, name)
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w") as file:
        json.dump(document, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def start_time_of(pid: int) -> int:
    """In clock ticks since boot; with the pid it names a process for ever."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        return int(file.read().rpartition(b")")[2].split()[19])


def moment(seconds: float) -> str:
    """To the microsecond: between two of them an instance is metered."""
    whole, microseconds = divmod(int(seconds * 1_000_000), 1_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{microseconds:06}+00:00"


def exit_document(code: int, at: str) -> dict[str, object]:
    if code < 0:
        return {"code": None, "signal": -code, "at": at}
    return {"code": code, "signal": None, "at": at}


def _outlive_group_signals() -> None:
    # Signals to the whole group are the agent's to answer; the keeper has an exit to report.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _adopt_orphans() -> None:
    from runtime.interpreter import limits

    limits.adopt_orphans()


def _end_orphans() -> None:
    """What the cell started and left behind ends with its instance."""
    from runtime.interpreter import limits

    ends_at = time.monotonic() + CLEAN_UP_SECONDS_MAX
    while limits.end_children() and time.monotonic() < ends_at:
        continue
