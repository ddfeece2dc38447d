"""Stopping the service ends everything that it started, however it was waiting."""

from __future__ import annotations

import asyncio
from pathlib import Path

from services.chassis.endings import ended
from tests.builders import CHECKPOINT
from tests.services.provisioner.scenes import Outside, Until, a_deployment, running


async def test_a_task_that_swallows_a_cancellation_is_cancelled_again() -> None:
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            swallowed += 1
        await asyncio.sleep(60)

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)

    await asyncio.wait_for(ended([task]), 5)

    assert swallowed == 1
    assert task.cancelled()


async def test_the_service_stops_in_the_middle_of_its_work(
    kafka: str, data: Path, outside: Outside, until: Until
) -> None:
    """`running` waits for every task; one that hung would run into the test's time limit."""
    before = asyncio.all_tasks()
    async with running(kafka, data):
        await outside.send(a_deployment(CHECKPOINT, want=20))
        await until(lambda: len(outside.instances("InstanceRefused")) > 3)

    names = {task.get_name() for task in asyncio.all_tasks() - before}
    assert not [name for name in names if name.startswith(("create:", "provisioner", "exit:"))]
