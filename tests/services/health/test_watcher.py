"""Contacts are begun, ended and begun again, and are modest together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from schemas.evolution import AgentPhase, Observed, Step, evolve, evolve_phases
from schemas.instances import Instance
from schemas.specs import NodeSpec
from services.chassis.clock import SYSTEM_CLOCK
from services.health import watcher as watching
from services.health.contact import RETRIES_PER_SECOND_MAX, Checker
from services.health.lateness import Lateness
from services.health.watcher import Watcher, measure_lateness
from tests.services.health.scenes import Agents, a_pair
from tests.services.health.world import created

Until = Callable[..., Awaitable[None]]


class SmallDesk:
    """Knows what is observed; may fail at first when it is told something."""

    def __init__(self, spec: NodeSpec, *facts: Instance) -> None:
        self.node_spec = spec
        self.known = {fact.instance: evolve(None, fact).observed for fact in facts}
        self.failures: list[Exception] = []

    def observed(self, instance: str) -> Observed | None:
        return self.known.get(instance)

    def spec(self, fact: Instance) -> NodeSpec | None:
        return self.node_spec

    def take(self, fact: Instance, step: Step) -> None:
        raise AssertionError("nothing is wrong with any instance")

    def take_phases(self, fact: Instance, history: Sequence[AgentPhase]) -> None:
        if self.failures:
            raise self.failures.pop()
        self.known[fact.instance] = evolve_phases(self.known[fact.instance], history).observed

    def is_healthy(self, fact: Instance) -> bool:
        return self.known[fact.instance].status.value == "HEALTHY"


@pytest.fixture
def checker() -> Checker:
    return Checker(SYSTEM_CLOCK, Lateness(), asyncio.Semaphore(16), lambda *_: None)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "AGAIN_SECONDS", 0.05)


@pytest.mark.usefixtures("soon")
async def test_a_contact_that_fails_unexpectedly_begins_again(
    checker: Checker, agents: Agents, until: Until
) -> None:
    node, fact = a_pair()
    agent = agents(fact.instance)
    there = created(fact, agent.endpoint)
    desk, watcher = SmallDesk(node.spec, there), Watcher(checker)
    desk.failures = [ZeroDivisionError("a bug of ours")]
    watcher.keep(there, desk)
    agent.ready()
    await until(lambda: desk.is_healthy(there))

    assert (len(watcher), desk.failures) == (1, [])
    await watcher.close()
    assert len(watcher) == 0


async def test_a_contact_that_was_ended_stays_ended(
    checker: Checker, agents: Agents, until: Until
) -> None:
    node, fact = a_pair()
    agent = agents(fact.instance)
    there = created(fact, agent.endpoint)
    desk, watcher = SmallDesk(node.spec, there), Watcher(checker)
    watcher.keep(there, desk)
    watcher.end(there.instance)
    agent.ready()
    await asyncio.sleep(0.1)

    assert (len(watcher), desk.is_healthy(there)) == (0, False)


async def test_many_that_cannot_be_reached_are_tried_modestly(
    checker: Checker, tmp_path: Path
) -> None:
    accepted = 0

    def hang_up() -> asyncio.Protocol:
        nonlocal accepted
        accepted += 1
        return HangsUp()

    node, _ = a_pair()
    facts = [created(a_pair(n)[1], f"unix:{tmp_path}/s") for n in range(1, 201)]
    watcher, desk = Watcher(checker), SmallDesk(node.spec, *facts)
    async with await asyncio.get_running_loop().create_unix_server(hang_up, tmp_path / "s"):
        for fact in facts:
            watcher.keep(fact, desk)
        await asyncio.sleep(1.0)
        await watcher.close()

    assert 200 < accepted < 1.5 * RETRIES_PER_SECOND_MAX + len(facts)


class HangsUp(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


async def test_a_loop_that_stood_still_is_noticed(checker: Checker, until: Until) -> None:
    told: list[float] = []
    task = asyncio.create_task(measure_lateness(checker, SYSTEM_CLOCK, told.append))
    await until(lambda: len(told) >= 2)
    assert checker.lateness.score == 0
    block_for(0.6)
    await until(lambda: checker.lateness.score == 1)
    task.cancel()

    assert max(told) > 0.3


def block_for(seconds: float) -> None:
    """Stand still, as a loop does that computes too long."""
    until_then = SYSTEM_CLOCK.monotonic() + seconds
    while SYSTEM_CLOCK.monotonic() < until_then:
        pass
