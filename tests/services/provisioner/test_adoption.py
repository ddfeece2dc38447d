"""A provisioner that is killed takes nothing with it; the next one carries on."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from schemas.topics import Topic
from services.provisioner.providers.starting import PACKAGES
from tests.services.provisioner.scenes import (
    QUICK,
    Outside,
    Until,
    a_checkpoint,
    a_deployment,
    command,
    command_of,
    is_alive,
    living_in,
    pid_of,
)

SHARED = ("kafka_", "cellnode_")
STOP_SECONDS = 10.0
SLOW_SECONDS = 45.0  # A take-over and a removal, on a busy machine.


@asynccontextmanager
async def child(kafka: str, data: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """The service as a process of its own, SIGKILLed at the end."""
    given = {"kafka_bootstrap_servers": kafka, "cellnode_data": data, **QUICK}
    own = {
        name.upper() if name.startswith(SHARED) else f"CELLNODE_PROVISIONER_{name.upper()}": value
        for name, value in given.items()
    }
    settings = {name: str(value).lower() for name, value in own.items()}
    environment = {**os.environ, **settings, "PYTHONPATH": str(PACKAGES)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "services.provisioner"),
        env=environment,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def made(outside: Outside) -> list[int]:
    return sorted(pid_of(fact) for fact in outside.instances("InstanceCreated"))


def agents_in(data: Path) -> list[int]:
    return [pid for pid in living_in(data) if b"\0runtime\0" in command_of(pid)]


def directories(data: Path) -> list[str]:
    return sorted(path.name for path in (data / "instances").iterdir())


async def test_instances_outlive_a_killed_provisioner_and_are_adopted(
    kafka: str, data: Path, outside: Outside, until: Until
) -> None:
    async with child(kafka, data):
        await outside.send(a_deployment(a_checkpoint(data), want=2))
        await until(lambda: len(made(outside)) == 2, SLOW_SECONDS)
    before = made(outside)
    assert all(is_alive(pid) for pid in before)

    async with child(kafka, data):
        await outside.send(command("ScaleNode", 2, want=3))
        await until(lambda: len(made(outside)) == 3, SLOW_SECONDS)

    assert set(before) < set(made(outside))
    assert [fact["n"] for fact in outside.instances()] == [1, 2, 3]


@pytest.mark.full
async def test_an_end_that_nobody_saw_is_told_and_the_instance_replaced(
    kafka: str, data: Path, outside: Outside, until: Until
) -> None:
    async with child(kafka, data):
        await outside.send(a_deployment(a_checkpoint(data)))
        await until(lambda: made(outside), SLOW_SECONDS)
    (fact,) = outside.instances()
    os.kill(pid_of(fact), signal.SIGKILL)

    async with child(kafka, data):
        await until(
            lambda: [one["n"] for one in outside.instances("InstanceCreated")] == [2], SLOW_SECONDS
        )

        await until(lambda: outside.facts(fact["instance"])[-1] == "gone", SLOW_SECONDS)

    assert outside.exit_of(fact["instance"])["signal"] == signal.SIGKILL


async def test_a_deletion_is_finished_by_the_next(
    kafka: str, data: Path, outside: Outside, until: Until
) -> None:
    async with child(kafka, data):
        await outside.send(a_deployment(a_checkpoint(data), want=2))
        await until(lambda: len(made(outside)) == 2, SLOW_SECONDS)
        for pid in made(outside):
            os.kill(pid, signal.SIGSTOP)  # So that the removal takes its time.
        await outside.send(command("DeleteNode", 2))
        await until(lambda: len(outside.instances("InstanceDeleting")) == 2)

    async with child(kafka, data):
        await until(lambda: "default/digits" not in outside.tables[Topic.NODES], SLOW_SECONDS)

    assert living_in(data) == []
    assert directories(data) == []


@pytest.mark.parametrize(
    "seed", [1, *(pytest.param(seed, marks=pytest.mark.full) for seed in range(2, 7))]
)
async def test_killed_at_any_moment_nothing_is_lost_or_made_twice(
    kafka: str, data: Path, outside: Outside, until: Until, seed: int
) -> None:
    dice = random.Random(seed)
    await outside.send(a_deployment(a_checkpoint(data), want=4))
    for _ in range(3):
        async with child(kafka, data):
            await until(lambda: outside.outcomes(), SLOW_SECONDS)
            await asyncio.sleep(dice.uniform(0, 0.12))

    async with child(kafka, data):
        await until(lambda: len(made(outside)) == 4, SLOW_SECONDS)
        await until(lambda: directories(data) == sorted(
            fact["instance"] for fact in outside.instances()), SLOW_SECONDS)  # fmt: skip

    assert all(is_alive(pid) for pid in made(outside))
    await until(lambda: len(agents_in(data)) == 2 * 4, 5)  # A keeper and its agent each.


async def test_a_stopped_provisioner_leaves_in_order_and_its_instances_alone(
    kafka: str, data: Path, outside: Outside, until: Until
) -> None:
    async with child(kafka, data) as process:
        await outside.send(a_deployment(a_checkpoint(data)))
        await until(lambda: made(outside), SLOW_SECONDS)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), STOP_SECONDS) == 0

    assert all(is_alive(pid) for pid in made(outside))
