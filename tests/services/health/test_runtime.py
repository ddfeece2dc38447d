"""Health and the real agent and interpreter: what one says the other understands."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest

from schemas.instances import Instance
from schemas.nodes import Node
from tests.runtime.instances import Instances, RunningInstance, made_instances
from tests.services.health.scenes import START, Until, a_pair
from tests.services.health.world import Follower, created, following, healthy, wishes


@pytest.fixture
def instances() -> Iterator[Instances]:
    with made_instances() as made:
        yield made


class Real(NamedTuple):
    """One node of one real instance, and who hears of it."""

    node: Node
    fact: Instance
    instance: RunningInstance
    follower: Follower

    def is_now(self, status: str, reason: str) -> bool:
        return self.follower.is_now(self.fact.instance, status, reason)


@asynccontextmanager
async def a_real_node(
    kafka: str, redis_url: str, instances: Instances, cell: str = "y = 1", **changes: Any
) -> AsyncIterator[Real]:
    """The instance is started before the provisioner tells of it, as in earnest."""
    node, fact = a_pair()
    async with healthy(kafka, redis_url), wishes(kafka) as tell, following(kafka) as follower:
        await tell.put(node, fact)
        names = {"instance": fact.instance, "place": node.place, "outputs": ["y"]}
        instance = instances.start(cell, **{**names, **changes})
        await tell.put(created(fact, f"unix:{instance.socket}"))
        yield Real(node, fact, instance, follower)


async def test_a_real_instance_starts_through_every_status(
    kafka: str, redis_url: str, instances: Instances, until: Until
) -> None:
    async with a_real_node(kafka, redis_url, instances) as real:
        await until(lambda: real.is_now("HEALTHY", "READY"), 20)
        await until(lambda: real.follower.is_now(real.node.key, "HEALTHY"))

        assert real.follower.statuses(real.fact.instance) == START
        times = [step.at for step in real.follower.present[real.fact.instance].transitions]
        assert times == sorted(times)


async def test_a_cell_that_does_not_compile_is_unhealthy_and_says_why(
    kafka: str, redis_url: str, instances: Instances, until: Until
) -> None:
    async with a_real_node(kafka, redis_url, instances, cell="y = (") as real:
        await until(lambda: real.is_now("UNHEALTHY", "LOAD_FAILED"), 20)

        assert "SyntaxError" in str(real.follower.present[real.fact.instance].evidence)
        assert real.fact.instance in real.follower.present[real.node.key].sentence


async def test_a_killed_interpreter_is_unhealthy_then_healthy_with_its_state_lost(
    kafka: str, redis_url: str, instances: Instances, until: Until
) -> None:
    async with a_real_node(kafka, redis_url, instances) as real:
        await until(lambda: real.is_now("HEALTHY", "READY"), 20)
        os.kill(real.instance.fork_pid, signal.SIGKILL)
        await until(lambda: real.is_now("HEALTHY", "STATE_LOST"), 20)

        crash = real.follower.of(real.fact.instance)[-2]
        assert (crash.status.value, crash.reason.value) == ("UNHEALTHY", "INTERPRETER_CRASHED")
        assert crash.evidence


async def test_a_killed_instance_is_noticed_by_its_connection(
    kafka: str, redis_url: str, instances: Instances, until: Until
) -> None:
    async with a_real_node(kafka, redis_url, instances) as real:
        await until(lambda: real.is_now("HEALTHY", "READY"), 20)
        os.killpg(real.instance.keeper.pid, signal.SIGKILL)
        await until(lambda: real.is_now("UNHEALTHY", "PROBES_FAILED"), 0.5)


async def test_a_stopped_agent_leaves_and_returns(
    kafka: str, redis_url: str, instances: Instances, until: Until
) -> None:
    async with a_real_node(kafka, redis_url, instances) as real:
        await until(lambda: real.is_now("HEALTHY", "READY"), 20)
        os.kill(real.instance.agent_pid, signal.SIGSTOP)
        await until(lambda: real.is_now("UNHEALTHY", "PROBES_FAILED"), 3)
        os.kill(real.instance.agent_pid, signal.SIGCONT)
        await until(lambda: real.is_now("HEALTHY", "PROBES_PASSED"), 3)
