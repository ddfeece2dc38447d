"""Tasks that end for certain, even where a library's `wait_for` swallows a cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

CANCEL_SECONDS = 0.2  # Python 3.11 loses one that comes together with what was waited for.


async def ended(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel until all have ended; what they raised on the way stays theirs."""
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=CANCEL_SECONDS)
