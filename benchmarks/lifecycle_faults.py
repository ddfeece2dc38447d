"""What dies, and how soon everything is as before: instances, Redis, each service."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from benchmarks.rows import Row, median
from tests.e2e.snapshots import Snapshot, restore, snapshot
from tests.e2e.waiting import until
from tests.e2e.world import WHO, World

KILLS = 5
EVENT_SECONDS_MAX, REPLACED_SECONDS_MAX, CORRECT_SECONDS_MAX = 0.5, 2.0, 5.0


def kills_of_instances(world: World) -> list[Row]:
    """SIGKILL to one of three, under load; small checkpoint, idempotent node."""
    node = world.deploy(world.pin(), WHO, outputs=["who"], want=3, idempotent=True)
    heard, replaced = [], []
    with world.load(node) as seen:
        for _ in range(KILLS):
            victim = world.statuses.instances(node, "HEALTHY")[0]
            begun = time.monotonic()
            world.system.kill_instance(victim)
            heard.append(world.statuses.wait(victim, "UNHEALTHY").at - begun)
            until("replaced", lambda: is_replaced(world, node, victim))  # noqa: B023
            replaced.append(time.monotonic() - begun)
    return [
        Row("kill_to_unhealthy_median_seconds", median(heard), at_most=EVENT_SECONDS_MAX),
        Row("kill_to_replaced_median_seconds", median(replaced), at_most=REPLACED_SECONDS_MAX),
        Row("kill_failed_requests_count", len(seen.failed()), at_most=0),
    ]


def is_replaced(world: World, node: str, victim: str) -> bool:
    healthy = world.statuses.instances(node, "HEALTHY")
    return len(healthy) == 3 and victim not in healthy


def redis_faults(world: World) -> list[Row]:
    faults: dict[str, Callable[[Snapshot], object]] = {
        "flushed": lambda old: world.redis("FLUSHALL"),
        "emptied": lambda old: world.system.restart("redis"),
        "old_snapshot": lambda old: restore(world.system.redis_socket, old),
    }
    rows = [row for name, fault in faults.items() for row in redis_fault(world, name, fault)]
    begun = time.monotonic()
    world.redis("FLUSHALL")  # While nothing happens.
    seconds = seconds_until_correct(world, begun)
    return [*rows, Row("redis_flushed_idle_seconds", seconds, at_most=CORRECT_SECONDS_MAX)]


def redis_fault(world: World, name: str, fault: Callable[[Snapshot], object]) -> list[Row]:
    """Under load, with a snapshot from before the instances were made anew."""
    node = world.deploy(world.pin(), WHO, outputs=["who"], want=2)
    old = snapshot(world.system.redis_socket)
    world.recreate(node, 2)
    world.only(node, 2)
    with world.load(node) as seen:
        begun = time.monotonic()
        fault(old)
        seconds = seconds_until_correct(world, begun)
        seen.wait_for(50)
    return [
        Row(f"redis_{name}_seconds", seconds, at_most=CORRECT_SECONDS_MAX),
        Row(f"redis_{name}_failed_requests_count", len(seen.failed()), at_most=0),
    ]


def seconds_until_correct(world: World, begun: float) -> float:
    """Until the projection equals the fold of the topic."""
    expected = world.folded(world.statuses)
    until("it is correct", lambda: expected and world.everything_known() == expected)
    return time.monotonic() - begun


def kills_of_services(world: World) -> list[Row]:
    """SIGKILL to each service in turn, under load; a gateway's own requests are excepted."""
    rows = []
    node = world.deploy(world.pin(), WHO, outputs=["who"], want=2)
    for service in ("provisioner", "health", "gateway"):
        with world.load(node) as seen:
            begun = time.monotonic()
            world.system.restart(service, signal.SIGKILL)
            seconds = time.monotonic() - begun
            seen.wait_for(100)
        failed = seen.refused() if service == "gateway" else seen.failed()
        rows += [
            Row(f"kill_{service}_failed_requests_count", len(failed), at_most=0),
            Row(f"kill_{service}_ready_again_seconds", seconds),
        ]
    return rows
