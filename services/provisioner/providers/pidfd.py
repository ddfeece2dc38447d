"""Descriptors of processes, also where Python was built for a kernel that had none yet.

Such builds are common (the portable ones of CPython); the kernel's calls have one number on
every architecture, see `pidfd_open(2)` and `pidfd_send_signal(2)`.
"""

from __future__ import annotations

import ctypes
import os
import signal

_PIDFD_SEND_SIGNAL, _PIDFD_OPEN = 424, 434

_libc = ctypes.CDLL(None, use_errno=True)


def pidfd_open(pid: int) -> int:
    """A descriptor that is readable once the process has ended; OSError if there is none."""
    if hasattr(os, "pidfd_open"):
        return os.pidfd_open(pid)
    return _call(_PIDFD_OPEN, pid, 0)


def pidfd_send_signal(fd: int, number: signal.Signals) -> None:
    """Signal the very process of the descriptor; OSError if it has ended."""
    if hasattr(signal, "pidfd_send_signal"):
        signal.pidfd_send_signal(fd, number)
    else:
        _call(_PIDFD_SEND_SIGNAL, fd, int(number), None, 0)


def _call(number: int, *arguments: int | None) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result
