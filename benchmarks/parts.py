"""Parts of a benchmark: each within its time, and one that fails says why and leaves the others."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from benchmarks.rows import Row

TRACED_MAX = 8  # Calls that a failure is told with.


class Overdue(Exception):
    """A part took longer than it may."""


# What a part may fail with; it is told, and the other parts are measured all the same.
FAILURES = (AssertionError, HTTPException, OSError, RuntimeError, ValueError, LookupError, Overdue)


@dataclass(frozen=True)
class Part:
    """Some rows that are measured together."""

    rows: Callable[[], list[Row]]
    seconds_max: int


def measured(name: str, part: Part) -> list[Row]:
    """A part that fails or is overdue says why and leaves a short row."""
    say(f"{name} ... (at most {part.seconds_max} s)")
    begun = time.monotonic()
    try:
        with at_most(part.seconds_max):
            rows = part.rows()
    except (*FAILURES, subprocess.SubprocessError) as error:
        say(f"{name} failed after {time.monotonic() - begun:.1f} s:")
        say("".join(traceback.format_exception(error, limit=-TRACED_MAX)).replace("\n", "\n# "))
        return [Row(name, None)]
    for row in rows:
        say(f"  {row}")
    say(f"{name} took {time.monotonic() - begun:.1f} s")
    return rows


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Raises Overdue wherever we are when the time is over."""

    def ring(*_: Any) -> None:
        raise Overdue(f"not done within {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def say(line: str) -> None:
    print(f"# {line}", file=sys.stderr, flush=True)
