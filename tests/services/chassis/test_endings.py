"""A service stops for certain."""

from __future__ import annotations

import asyncio

from services.chassis.endings import ended


async def test_a_task_that_loses_a_cancellation_is_ended_all_the_same() -> None:
    """As redis-py's write does on Python 3.11, when it is done at that very moment."""
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                if swallowed == 2:
                    raise
                swallowed += 1

    tasks = [asyncio.create_task(stubborn())]
    await asyncio.sleep(0)
    await asyncio.wait_for(ended(tasks), 5)

    assert (swallowed, tasks[0].cancelled()) == (2, True)


async def test_what_has_ended_is_left_alone() -> None:
    async def fails() -> None:
        raise ValueError("its own")

    task = asyncio.create_task(fails())
    await asyncio.wait({task})
    await ended([task])

    assert isinstance(task.exception(), ValueError)
