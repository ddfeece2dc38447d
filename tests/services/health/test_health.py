"""Health as a whole: a real broker, a real Redis, agents that are processes."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.instances import Instance
from schemas.nodes import Node
from tests.services.health.world import (
    AgentProcess,
    a_fresh_node,
    created,
    exited,
    following,
    healthy,
    wanted,
    wishes,
)

Until = Callable[..., Awaitable[None]]
Agents = Callable[[str], AgentProcess]
START = ["UNDEFINED", "CREATED", "STARTED", "PREPARING", "HEALTHY"]
PROBE = {"interval_seconds": 0.1, "timeout_seconds": 0.2, "fails": 3, "passes": 2}


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[Agents]:
    """Start agents as processes; they are killed at the end."""
    started: list[AgentProcess] = []

    def start(instance: str) -> AgentProcess:
        started.append(AgentProcess(tmp_path / f"{len(started)}.s", instance))
        return started[-1]

    yield start
    for agent in started:
        agent.end()


def a_pair(n: int = 1, **spec: Any) -> tuple[Node, Instance]:
    node = a_fresh_node(probe=PROBE, **spec)
    return node, wanted(node, n)


async def test_a_node_comes_to_life(
    kafka: str, redis_url: str, agents: Agents, until: Until
) -> None:
    node, fact = a_pair()
    async with healthy(kafka, redis_url), wishes(kafka) as tell, following(kafka) as follower:
        await tell.put(node)
        await until(lambda: follower.is_now(node.key, "CREATED"))
        agent = agents(fact.instance)
        await tell.put(fact, created(fact, agent.endpoint))
        agent.ready()
        await until(lambda: follower.is_now(node.key, "HEALTHY"))

    assert follower.statuses(fact.instance) == START
    history = follower.present[fact.instance].transitions
    assert [step.status for step in history] == START
    assert [step.at for step in history] == sorted(step.at for step in history)


async def test_a_killed_instance_is_unhealthy_at_once(
    kafka: str, redis_url: str, agents: Agents, until: Until
) -> None:
    node, fact = a_pair()
    async with healthy(kafka, redis_url), wishes(kafka) as tell, following(kafka) as follower:
        agent = agents(fact.instance)
        there = created(fact, agent.endpoint)
        await tell.put(node, fact, there)
        agent.ready()
        await until(lambda: follower.is_now(node.key, "HEALTHY"))
        agent.signal(signal.SIGKILL)
        await tell.put(exited(there))
        await until(lambda: follower.is_now(node.key, "UNHEALTHY"), 0.5)

    last = follower.present[fact.instance]
    assert (last.status.value, last.reason.value) == ("UNHEALTHY", "PROCESS_EXITED")
    assert last.evidence == {"signal": "9", "last_lines": "the last line"}
    assert fact.instance in follower.present[node.key].sentence
