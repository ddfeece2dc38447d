"""Waiting with a bound: what is not so by then fails the test."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

UNTIL_SECONDS = 20.0


async def until(is_so: Callable[[], object], seconds: float = UNTIL_SECONDS) -> None:
    ends = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends, f"not so within {seconds} s"
        await asyncio.sleep(0.001)
