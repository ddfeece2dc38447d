"""The metrics of a running system: valid everywhere, and equal to what an outside consumer saw."""

from __future__ import annotations

import urllib.request
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.e2e.bus import Follower
from tests.e2e.system import System
from tests.e2e.waiting import until
from tests.e2e.world import WHO, World
from tests.exposition import label_values, number, promtool_says, samples

pytestmark = pytest.mark.full

CALLS = 7
PARTITIONS = 4
SERVICES = ("provisioner", "health", "api", "gateway", "broker")
Changes = Counter[tuple[str, str, str, str]]  # Kind, from, to, reason.


@pytest.fixture
def own_world(own_system: System) -> Iterator[World]:
    """A system that nobody else counts in."""
    with Follower(own_system.kafka) as statuses:
        yield World(own_system, statuses)


def shown(system: System, service: str) -> str:
    address = system.addresses["services"][service]
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def seen_outside(statuses: Follower) -> Changes:
    """From nothing but the records, in their order."""
    changes: Changes = Counter()
    last: dict[str, tuple[str, str]] = {}
    for one in statuses.seen():
        if one.key.startswith("~"):
            continue
        was, why = last.pop(one.key, ("none", ""))
        if one.value is not None:
            last[one.key] = (one.status, one.reason)
        if was != one.status and (was, one.status) != ("none", "gone"):
            kind = "node" if "/" in one.key else "instance"
            changes[kind, was, one.status, one.reason or why] += 1
    return changes


def counted_in(system: System) -> Changes:
    found: Changes = Counter()
    for one in samples(shown(system, "health")):
        if one.name == "cellnode_health_status_changes_total" and one.value:
            kind, was, is_now, why = (one.labels[name] for name in ("kind", "from", "to", "reason"))
            found[kind, was, is_now, why] = int(one.value)
    return found


def nodes_in(system: System, service: str) -> set[str]:
    return label_values(shown(system, service), "node")


def until_lag_is_known(system: System, service: str) -> None:
    until("every partition has a lag", lambda: len(
        label_values(shown(system, service), "partition")) == PARTITIONS)  # fmt: skip


def a_life(world: World) -> str:
    """A node is deployed, called, loses an instance, gets another, and is deleted."""
    node = world.deploy(world.pin(), WHO, outputs=["who"], want=2)
    world.routed(node, 2)
    for _ in range(CALLS):
        assert world.call(node).status == 200
    killed = world.statuses.instances(node)[0]
    world.system.kill_agent(killed)
    until("it is replaced", lambda: killed not in world.statuses.instances(node))
    world.healthy(node, 2)
    return node


def test_transitions_are_those_that_an_outside_consumer_counts(own_world: World) -> None:
    world, system = own_world, own_world.system
    node = a_life(world)
    own = {"node": f"default/{node}"}
    gateway, health = shown(system, "gateway"), shown(system, "health")
    assert number(gateway, "cellnode_gateway_requests_total", code="200", **own) >= CALLS
    assert number(health, "cellnode_health_node_healthy_instances", **own) == 2
    world.command("DeleteNode", node)
    until("it is gone", lambda: world.statuses.statuses(f"default/{node}")[-1] == "gone")

    until("both say the same", lambda: seen_outside(world.statuses) == counted_in(system))
    changes = counted_in(system)
    assert changes["instance", "HEALTHY", "UNHEALTHY", "PROCESS_EXITED"] == 1
    assert changes["instance", "PREPARING", "HEALTHY", "READY"] == 3
    assert changes["node", "DELETING", "gone", "DELETE_REQUESTED"] == 1
    until("its series are gone", lambda: nodes_in(system, "health") == set())
    until("here too", lambda: nodes_in(system, "gateway") == {""})


def test_every_process_shows_what_prometheus_can_read(world: World) -> None:
    node = world.deploy(world.pin(), WHO, outputs=["who"])
    assert world.answers(node).status == 200
    texts = {service: shown(world.system, service) for service in SERVICES}
    (instance,) = world.statuses.instances(node)
    texts["agent"] = world.system.agent_says(instance, "/metrics")

    for service, text in texts.items():
        assert samples(text), service
        assert promtool_says(text) == "", service
    for service in ("provisioner", "health", "api"):
        assert number(texts[service], f"cellnode_{service}_records_total") > 0
        until_lag_is_known(world.system, service)
    assert number(texts["agent"], "cellnode_agent_executions_total", instance_id=instance) >= 1


def test_who_takes_over_after_a_kill_counts_nothing_again(own_world: World) -> None:
    world, system = own_world, own_world.system
    node = world.deploy(world.pin(), WHO, outputs=["who"])
    before = seen_outside(world.statuses)
    system.restart("health")
    assert counted_in(system) == Counter()
    until("its node is known", lambda: nodes_in(system, "health") == {f"default/{node}"})

    world.command("DeleteNode", node)
    until("it is gone", lambda: world.statuses.statuses(f"default/{node}")[-1] == "gone")
    until("the sum is right", lambda: before + counted_in(system) == seen_outside(world.statuses))
