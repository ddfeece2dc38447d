"""Health as a whole: a real broker, a real Redis, agents that are processes."""

from __future__ import annotations

import asyncio
import signal

from services.chassis.clock import SYSTEM_CLOCK
from tests.services.health.scenes import START, Agents, Until, a_healthy_node, a_pair
from tests.services.health.world import (
    a_fresh_node,
    created,
    deleting,
    exited,
    following,
    healthy,
    refused,
    wishes,
)


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
    async with a_healthy_node(kafka, redis_url, agents, until) as scene:
        node, fact, agent, tell, follower, _ = scene
        agent.signal(signal.SIGKILL)
        await tell.put(exited(fact))
        await until(lambda: follower.is_now(node.key, "UNHEALTHY"), 0.5)

        last = follower.present[fact.instance]
        assert (last.status.value, last.reason.value) == ("UNHEALTHY", "PROCESS_EXITED")
        assert last.evidence == {"signal": "9", "last_lines": "the last line"}
        assert fact.instance in follower.present[node.key].sentence


async def test_a_killed_instance_is_noticed_without_the_provisioner(
    kafka: str, redis_url: str, agents: Agents, until: Until
) -> None:
    """Its connection breaks and nobody listens any more: no count of probes is waited for."""
    async with a_healthy_node(kafka, redis_url, agents, until) as scene:
        scene.agent.signal(signal.SIGKILL)
        instance = scene.fact.instance
        await until(lambda: scene.follower.is_now(instance, "UNHEALTHY", "PROBES_FAILED"))

        await scene.tell.put(exited(scene.fact))
        await until(lambda: scene.follower.is_now(instance, "UNHEALTHY", "PROCESS_EXITED"))
        assert "nobody listens" in scene.follower.of(instance)[-2].evidence["error"]


async def test_a_stopped_instance_leaves_and_returns(
    kafka: str, redis_url: str, agents: Agents, until: Until
) -> None:
    async with a_healthy_node(kafka, redis_url, agents, until) as scene:
        follower, instance = scene.follower, scene.fact.instance
        scene.agent.signal(signal.SIGSTOP)
        await until(lambda: follower.is_now(instance, "UNHEALTHY", "PROBES_FAILED"))
        await until(lambda: follower.is_now(scene.node.key, "UNHEALTHY"))
        scene.agent.signal(signal.SIGCONT)
        await until(lambda: follower.is_now(scene.node.key, "HEALTHY"))

        assert follower.is_now(instance, "HEALTHY", "PROBES_PASSED")
        assert follower.statuses(instance) == [*START, "UNHEALTHY", "HEALTHY"]


async def test_another_instance_at_its_address_is_out_at_once(
    kafka: str, redis_url: str, agents: Agents, until: Until
) -> None:
    async with a_healthy_node(kafka, redis_url, agents, until) as scene:
        follower, instance = scene.follower, scene.fact.instance
        scene.agent.tell(name="stranger-000000-1")
        await until(lambda: follower.is_now(instance, "UNHEALTHY", "WRONG_IDENTITY"))
        assert follower.present[instance].evidence["answered"] == "stranger-000000-1"

        scene.agent.tell(name=instance)
        await until(lambda: follower.is_now(instance, "HEALTHY", "PROBES_PASSED"))


async def test_a_crash_of_the_interpreter_is_told_in_order(
    kafka: str, redis_url: str, agents: Agents, until: Until
) -> None:
    async with a_healthy_node(kafka, redis_url, agents, until) as scene:
        scene.agent.tell(phase="broken", reason="DEADLINE_KILLED", exit_code="-9")
        scene.agent.tell(phase="ready", reason="STATE_LOST")
        instance = scene.fact.instance
        await until(lambda: scene.follower.is_now(instance, "HEALTHY", "STATE_LOST"))

        crash = scene.follower.of(instance)[-2]
        assert (crash.status.value, crash.reason.value) == ("UNHEALTHY", "DEADLINE_KILLED")
        assert crash.evidence == {"exit_code": "-9"}


async def test_a_failed_load_is_unhealthy_with_its_traceback(
    kafka: str, redis_url: str, agents: Agents, until: Until
) -> None:
    node, fact = a_pair()
    async with healthy(kafka, redis_url), wishes(kafka) as tell, following(kafka) as follower:
        agent = agents(fact.instance)
        await tell.put(node, fact, created(fact, agent.endpoint))
        agent.tell(phase="started")
        await until(lambda: follower.is_now(fact.instance, "STARTED"))
        agent.tell(phase="preparing")
        await until(lambda: follower.is_now(fact.instance, "PREPARING"))
        agent.tell(phase="failed", reason="LOAD_FAILED", traceback="ZeroDivisionError")
        await until(lambda: follower.is_now(node.key, "UNHEALTHY"))

    assert follower.present[fact.instance].evidence == {"traceback": "ZeroDivisionError"}
    assert "LOAD_FAILED" in follower.present[node.key].evidence[fact.instance]


async def test_a_start_that_takes_too_long_is_unhealthy_and_may_still_succeed(
    kafka: str, redis_url: str, agents: Agents, until: Until
) -> None:
    node, fact = a_pair(start_timeout_seconds=0.5)
    async with healthy(kafka, redis_url), wishes(kafka) as tell, following(kafka) as follower:
        agent = agents(fact.instance)
        agent.signal(signal.SIGSTOP)
        await tell.put(node, fact, created(fact, agent.endpoint))
        await until(lambda: follower.is_now(fact.instance, "UNHEALTHY", "START_TIMEOUT"))
        took = follower.present[fact.instance].since - node.created_at
        assert took.total_seconds() >= 0.5
        agent.signal(signal.SIGCONT)
        agent.ready()
        await until(lambda: follower.is_now(node.key, "HEALTHY"))

    assert follower.is_now(fact.instance, "HEALTHY", "READY")


async def test_a_node_without_instances_is_unhealthy_when_it_is_overdue(
    kafka: str, redis_url: str, until: Until
) -> None:
    node = a_fresh_node(start_timeout_seconds=0.4)
    async with healthy(kafka, redis_url), wishes(kafka) as tell, following(kafka) as follower:
        await tell.put(node)
        await until(lambda: follower.is_now(node.key, "UNHEALTHY"))

    assert follower.statuses(node.key) == ["CREATED", "UNHEALTHY"]
    took = follower.present[node.key].since - node.created_at
    assert took.total_seconds() >= 0.4


async def test_a_node_is_suspended_at_once_and_a_resumed_one_has_its_start_timeout_anew(
    kafka: str, redis_url: str, until: Until
) -> None:
    node = a_fresh_node(start_timeout_seconds=0.4)
    suspended = node.model_copy(update={"suspended": True, "generation": 2})
    async with healthy(kafka, redis_url), wishes(kafka) as tell, following(kafka) as follower:
        await tell.put(node)
        await until(lambda: follower.is_now(node.key, "CREATED"))
        await tell.put(suspended)
        await until(lambda: follower.is_now(node.key, "SUSPENDED", "SUSPENDED_BY_OWNER"))
        await asyncio.sleep(0.5)  # Longer than the timeout: who sleeps is never late.
        resumed_at = SYSTEM_CLOCK.now()
        changes = {"suspended": False, "generation": 3, "resumed_at": resumed_at}
        await tell.put(suspended.model_copy(update=changes))
        await until(lambda: follower.is_now(node.key, "SUSPENDED", "RESUMED"))
        await until(lambda: follower.is_now(node.key, "UNHEALTHY"))

    said = follower.statuses(node.key)
    assert said == ["CREATED", "SUSPENDED", "SUSPENDED", "UNHEALTHY"]  # Once for each reason.
    took = follower.present[node.key].since - resumed_at
    assert took.total_seconds() >= 0.4


async def test_want_of_room_stays_undefined_and_says_so(
    kafka: str, redis_url: str, until: Until
) -> None:
    node, fact = a_pair()
    async with healthy(kafka, redis_url), wishes(kafka) as tell, following(kafka) as follower:
        await tell.put(node, fact, refused(fact, "NO_CAPACITY"))
        await until(lambda: follower.is_now(fact.instance, "UNDEFINED", "NO_CAPACITY"))
        assert follower.is_now(node.key, "CREATED")
        await tell.put(refused(fact, "PACKAGE_MISSING", "numpy 1.26"))
        await until(lambda: follower.is_now(node.key, "UNHEALTHY"))

    assert follower.present[fact.instance].evidence == {"difference": "numpy 1.26"}


async def test_deletion_leaves_nothing_instances_first(
    kafka: str, redis_url: str, agents: Agents, until: Until
) -> None:
    async with a_healthy_node(kafka, redis_url, agents, until) as scene:
        node, fact, _, tell, follower, _ = scene
        await tell.put(node.model_copy(update={"deleting": True}))
        await until(lambda: follower.is_now(node.key, "DELETING"))
        await tell.put(deleting(fact))
        await until(lambda: follower.is_now(fact.instance, "DELETING"))
        await tell.delete(node)  # Topics have no order between them: the node may be first.
        await tell.delete(fact)
        await until(lambda: not follower.present)

    assert follower.buried == [fact.instance, node.key]


async def test_what_is_gone_at_once_is_deleting_before(
    kafka: str, redis_url: str, agents: Agents, until: Until
) -> None:
    """Only the tombstones of node and instance are heard, not that they are being deleted."""
    async with a_healthy_node(kafka, redis_url, agents, until) as scene:
        node, fact, _, tell, follower, _ = scene
        await tell.delete(node, fact)
        await until(lambda: not follower.present)

    assert follower.buried == [fact.instance, node.key]
    assert follower.was_told_that_it_leaves(node.key)
    assert follower.was_told_that_it_leaves(fact.instance)


async def test_an_agent_that_says_what_nobody_understands_is_given_time_and_then_up(
    kafka: str, redis_url: str, agents: Agents, until: Until
) -> None:
    node, fact = a_pair(start_timeout_seconds=0.4)
    async with healthy(kafka, redis_url), wishes(kafka) as tell, following(kafka) as follower:
        agent = agents(fact.instance)
        await tell.put(node, fact, created(fact, agent.endpoint))
        agent.tell(phase="started")
        agent.tell(phase=["not", "a", "word"])
        await until(lambda: follower.is_now(fact.instance, "UNHEALTHY", "START_TIMEOUT"))

    assert follower.statuses(fact.instance)[:2] == ["UNDEFINED", "CREATED"]


async def test_a_node_that_vanishes_under_its_instance_harms_nobody(
    kafka: str, redis_url: str, agents: Agents, until: Until
) -> None:
    """Without the spec there is nothing to probe by; with it, contact is kept again."""
    async with a_healthy_node(kafka, redis_url, agents, until) as scene:
        node, fact, agent, tell, follower, service = scene
        await tell.delete(node)
        await until(lambda: len(service.watcher) == 0)
        await tell.put(node)
        await until(lambda: len(service.watcher) == 1)
        agent.signal(signal.SIGKILL)
        await until(lambda: follower.is_now(fact.instance, "UNHEALTHY", "PROBES_FAILED"))


async def test_an_instance_that_moves_is_found_at_its_new_address(
    kafka: str, redis_url: str, agents: Agents, until: Until
) -> None:
    async with a_healthy_node(kafka, redis_url, agents, until) as scene:
        moved = agents(scene.fact.instance)
        moved.ready()
        fact = scene.fact.model_copy(update={"endpoint": moved.endpoint})
        await scene.tell.put(fact)
        await until(lambda: len(scene.health.watcher) == 1)
        scene.agent.signal(signal.SIGKILL)
        moved.tell(phase="broken")
        await until(
            lambda: scene.follower.is_now(fact.instance, "UNHEALTHY", "INTERPRETER_CRASHED")
        )
