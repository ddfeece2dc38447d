"""A healthy node and everybody around it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from schemas.instances import Instance
from schemas.nodes import Node
from services.health.app import Health
from tests.services.health.world import (
    AgentProcess,
    Follower,
    Wishes,
    a_fresh_node,
    created,
    following,
    healthy,
    wanted,
    wishes,
)

Until = Callable[..., Awaitable[None]]
Agents = Callable[[str], AgentProcess]
START = ["UNDEFINED", "CREATED", "STARTED", "PREPARING", "HEALTHY"]
PROBE = {"interval_seconds": 0.1, "timeout_seconds": 0.2, "fails": 3, "passes": 2}


class Scene(NamedTuple):
    """Who takes part."""

    node: Node
    fact: Instance
    agent: AgentProcess
    tell: Wishes
    follower: Follower
    health: Health


def a_pair(n: int = 1, **spec: Any) -> tuple[Node, Instance]:
    node = a_fresh_node(**{"probe": PROBE, **spec})
    return node, wanted(node, n)


@asynccontextmanager
async def a_healthy_node(
    kafka: str, redis_url: str, agents: Agents, until: Until
) -> AsyncIterator[Scene]:
    """One node of one instance, which is HEALTHY, and everybody around it."""
    node, fact = a_pair()
    async with (
        healthy(kafka, redis_url) as service,
        wishes(kafka) as tell,
        following(kafka) as follower,
    ):
        agent = agents(fact.instance)
        there = created(fact, agent.endpoint)
        await tell.put(node, fact, there)
        agent.ready()
        await until(lambda: follower.is_now(node.key, "HEALTHY"))
        yield Scene(node, there, agent, tell, follower, service)
