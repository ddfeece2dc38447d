"""What the kernel holds an interpreter to, and the thread that ends it with its parent."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def end_with(parent_pid: int) -> None:
    """Be killed when the parent dies, also when it died before this call."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of what the cell started and left behind, so that it can be ended."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}) failed")


def apply(limits: dict[str, Any]) -> None:
    """Set the limits of the instance type, before anything of the user's is read."""
    _lower(resource.RLIMIT_CORE, 0)
    # Private writable memory: the heap, and mapped buffers as far as the cell could write to them.
    _lower(resource.RLIMIT_DATA, limits["memory_bytes"])
    _lower(resource.RLIMIT_NOFILE, limits["files_max"])
    _lower(resource.RLIMIT_FSIZE, limits["file_bytes_max"])
    if os.geteuid() != 0:
        # The kernel counts all of the user's threads, not ours alone.
        _lower(resource.RLIMIT_NPROC, _threads_of_user() + limits["processes_max"])


def _lower(kind: int, wanted: int) -> None:
    _, hard = resource.getrlimit(kind)
    value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(kind, (value, value))


def _threads_of_user() -> int:
    count = 0
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{entry}").st_uid == os.geteuid():
                count += len(os.listdir(f"/proc/{entry}/task"))
        except OSError:
            continue  # It has ended meanwhile.
    return count


def give_threads_back(count: int) -> None:
    """Let OpenMP use its threads in the fork; the parent held them back to be forkable.

    An OpenMP that has run a parallel region before a fork hangs after it.
    """
    os.environ["OMP_NUM_THREADS"] = str(count)
    with open("/proc/self/maps") as maps:
        paths = {line.split(maxsplit=5)[-1].strip() for line in maps if "libgomp" in line}
    for path in sorted(paths):
        ctypes.CDLL(path).omp_set_num_threads(count)


def end_children(kept: frozenset[int] = frozenset()) -> int:
    """Kill and reap the children that are left of what the cell started; how many there were."""
    ended = children() - kept
    for pid in ended:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            continue
    return len(ended)


def children() -> frozenset[int]:
    """The processes whose parent is this one."""
    found = set()
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            found.add(int(entry))
    return frozenset(found)
