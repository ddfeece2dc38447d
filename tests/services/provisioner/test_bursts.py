"""Many commands to one node: all are decided, and only what the last ones want is started."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from schemas.topics import Topic
from services.chassis.clock import Clock
from services.provisioner.bursts import (
    HELD_SECONDS_MAX,
    KNOWN_MAX,
    LOOK_AGAIN_SECONDS,
    MEMORY_SECONDS,
    Bursts,
)
from tests.services.provisioner.scenes import (
    Outside,
    Until,
    a_checkpoint,
    a_deployment,
    running,
)

COMMANDS = 60


def created(outside: Outside) -> list[dict[str, Any]]:
    return outside.instances("InstanceCreated")


class Hands(Clock):
    """A clock that is set by hand, and a number of commands at hand."""

    def __init__(self) -> None:
        self.time, self.waiting = 100.0, 5

    def monotonic(self) -> float:
        return self.time


def test_the_first_command_of_a_node_is_acted_on_at_once_and_the_next_wait() -> None:
    hands = Hands()
    bursts = Bursts(lambda _: hands.waiting, hands)
    bursts.came("default/a")
    assert bursts.wait_seconds("default/a") == 0

    bursts.came("default/a")
    assert bursts.wait_seconds("default/a") == LOOK_AGAIN_SECONDS
    assert bursts.wait_seconds("default/b") == 0
    hands.waiting = 0
    assert bursts.wait_seconds("default/a") == 0


def test_a_burst_without_end_is_planned_for_every_now_and_then() -> None:
    hands = Hands()
    bursts = Bursts(lambda _: hands.waiting, hands)
    planned = 0
    for _ in range(1000):
        bursts.came("default/a")
        planned += bursts.wait_seconds("default/a") == 0
        hands.time += 0.01

    assert planned == 1 + int(10 / HELD_SECONDS_MAX) - 1


def test_a_command_long_after_the_last_one_is_a_first_one_again() -> None:
    hands = Hands()
    bursts = Bursts(lambda _: hands.waiting, hands)
    bursts.came("default/a")
    hands.time += MEMORY_SECONDS + 0.1
    bursts.came("default/a")

    assert bursts.wait_seconds("default/a") == 0


def test_what_is_remembered_is_bounded() -> None:
    hands = Hands()
    bursts = Bursts(lambda _: hands.waiting, hands)
    for number in range(2 * KNOWN_MAX):
        bursts.came(f"default/n{number}")
        hands.time += 0.01

    assert len(bursts._of) <= KNOWN_MAX


async def test_superseded_revisions_of_a_burst_are_decided_but_hardly_one_is_started(
    kafka: str, data: Path, outside: Outside, until: Until
) -> None:
    digest = a_checkpoint(data)
    async with running(kafka, data):
        await asyncio.gather(
            *(outside.send(a_deployment(digest, n, cell=f"y = {n}")) for n in range(1, COMMANDS))
        )
        await outside.send(a_deployment(digest, COMMANDS, cell="y = 'last'"))
        await until(lambda: len(outside.outcomes()) == COMMANDS)
        nodes = outside.tables[Topic.NODES]
        newest = nodes["default/digits"]["revision"]
        await until(lambda: newest in {one["revision"] for one in created(outside)})
        node = nodes["default/digits"]

    assert node["generation"] == COMMANDS
    assert node["spec"]["cell"] == "y = 'last'"
    assert node["next_n"] <= COMMANDS // 4
