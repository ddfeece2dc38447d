"""Redis forgets, processes are killed: callers notice nothing, and the state is right again."""

import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.e2e.snapshots import restore, snapshot
from tests.e2e.waiting import until
from tests.e2e.world import WHO, World

CORRECT_SECONDS_MAX = 5.0

pytestmark = pytest.mark.full


def correct_again(world: World) -> float:
    """Seconds until the projection equals the fold of the topic."""
    begun = time.monotonic()
    until(
        "Redis holds what the topics hold",
        lambda: world.everything_known() == world.folded(world.statuses),
        seconds=CORRECT_SECONDS_MAX,
    )
    return time.monotonic() - begun


def flushed(world: World, old: Any) -> None:
    world.redis("FLUSHALL")


def restarted_empty(world: World, old: Any) -> None:
    world.system.restart("redis")


def restored_from_an_old_snapshot(world: World, old: Any) -> None:
    restore(world.system.redis_socket, old)


@pytest.mark.parametrize("fault", [flushed, restarted_empty, restored_from_an_old_snapshot])
def test_redis_that_forgets_under_load_is_right_again_and_no_request_fails(
    world: World, fault: Callable[[World, Any], None]
) -> None:
    node = world.deploy(world.pin(), WHO, outputs=["who"], want=2)
    old = snapshot(world.system.redis_socket)
    world.recreate(node, 2)
    world.only(node, 2)  # The snapshot names instances that are gone.
    correct_again(world)

    with world.load(node) as seen:
        fault(world, old)
        correct_again(world)
        seen.wait_for(50)

    assert not seen.failed(), seen.told()
    assert len({answer.output["who"] for answer in seen.answers}) == 2


def test_redis_flushed_while_nothing_happens_is_right_again(world: World) -> None:
    """No event moves the projection, so only its heartbeat can notice."""
    node = world.deploy(world.pin(), WHO, outputs=["who"])
    correct_again(world)
    assert node in {one["node"] for one in world.everything_known().values()}

    world.redis("FLUSHALL")
    correct_again(world)

    assert world.call(node).output["who"]


@pytest.mark.parametrize("service", ["provisioner", "health", "gateway"])
def test_a_killed_service_costs_no_request_and_leaves_instances_alone(
    world: World, service: str
) -> None:
    """A gateway takes with it what it was answering, one request a connection, and no more."""
    connections = 4
    node = world.deploy(world.pin(), WHO, outputs=["who"], want=2)
    instances = world.statuses.instances(node)
    pids = [world.system.instance_pids(instance) for instance in instances]
    before = world.meaning()

    with world.load(node, connections=connections) as seen:
        world.system.restart(service, signal.SIGKILL)
        seen.wait_for(100)
    world.still_works(node)

    assert not seen.refused(), seen.told()
    assert len(seen.broken()) <= (connections if service == "gateway" else 0), seen.told()
    assert world.statuses.instances(node, "HEALTHY") == instances
    assert [world.system.instance_pids(instance) for instance in instances] == pids
    assert world.meaning() == before


def test_graceful_restarts_of_the_gateway_cost_no_request_at_all(world: World) -> None:
    """It answers what it has, and whoever comes meanwhile waits in the kernel for the next one."""
    node = world.deploy(world.pin(), WHO, outputs=["who"], want=2)

    with world.load(node) as seen:
        for _ in range(3):
            world.system.restart("gateway", signal.SIGTERM)
            seen.wait_for(50)

    assert not seen.failed(), seen.told()


def test_updates_under_load_cost_no_request_even_if_requests_may_not_be_repeated(
    world: World,
) -> None:
    """New instances are HEALTHY before old ones leave, and what leaves finishes what it has."""
    node = world.deploy(world.pin(version=0), "y = version", outputs=["y"], want=2)

    with world.load(node, connections=6, pause_seconds=0) as seen:
        for version in range(1, 5):
            world.ask(node, world.pin(version=version), "y = version", want=2, outputs=["y"])
            until("it serves", lambda: world.call(node).output["y"] == version)  # noqa: B023
            until("two of it", lambda: len(world.staying(node)) == 2)

    assert not seen.failed(), seen.told()
    assert {answer.output["y"] for answer in seen.answers} == {0, 1, 2, 3, 4}


def test_without_redis_and_health_calls_are_answered_from_memory(world: World) -> None:
    node = world.deploy(world.pin(), WHO, outputs=["who"], want=2)
    world.routed(node, 2)  # From here on the gateway has it in memory.
    stopped = [world.system.kill_service(name, signal.SIGSTOP) for name in ("redis", "health")]

    try:
        with world.load(node) as seen:
            time.sleep(3)
            _go_on(stopped)
            seen.wait_for(50)
    finally:
        _go_on(stopped)  # Others use them, too, however this test ends.

    assert not seen.failed(), seen.told()
    correct_again(world)
    assert world.healthy(node, 2)


def _go_on(pids: list[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def test_an_instance_that_dies_while_its_provisioner_is_dead_is_replaced_afterwards(
    world: World,
) -> None:
    node = world.deploy(world.pin(), WHO, outputs=["who"], want=2, idempotent=True)
    killed, kept = world.statuses.instances(node)
    pid = world.system.kill_service("provisioner", signal.SIGSTOP)

    with world.load(node) as seen:
        world.system.kill_instance(killed)
        os.kill(pid, signal.SIGKILL)
        until("it is replaced", lambda: killed not in world.staying(node), seconds=30)
        now = world.healthy(node, 2)
        seen.wait_for(50)

    assert kept in now
    assert not seen.failed(), seen.told()
