"""Bounded waiting: what is waited for is named, and its absence is a failure that says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

WAIT_SECONDS_MAX = 30.0
_PAUSE_SECONDS = 0.01
T = TypeVar("T")


def until(
    what: str,
    look: Callable[[], T | None],
    *,
    seconds: float = WAIT_SECONDS_MAX,
    pause_seconds: float = _PAUSE_SECONDS,
) -> T:
    """The first true value of `look`, or AssertionError that says what did not come."""
    deadline = time.monotonic() + seconds
    while True:
        if found := look():
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}; last seen: {found!r}")
        time.sleep(pause_seconds)


def stays(what: str, look: Callable[[], bool], *, seconds: float) -> None:
    """`look` holds for the whole time, or AssertionError."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert look(), f"ended early: {what}"
        time.sleep(_PAUSE_SECONDS)
