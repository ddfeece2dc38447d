"""Restarts of `cellnode up` with twenty nodes: who comes back, who comes twice, and how soon."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.rows import Row, finish, median
from tests.e2e.bus import Follower
from tests.e2e.system import System
from tests.e2e.waiting import until
from tests.e2e.world import World

NODES = 20
RESTARTS = 10
HEALTHY_SECONDS_MAX = 60.0
CELL = "count += 1"


@dataclass(frozen=True)
class Restart:
    """What one of them left."""

    seconds: float | None  # From the command to all nodes HEALTHY; None if they were not.
    lost: int
    doubled: int


def rows() -> list[Row]:
    """Measured on a system of its own; it takes some minutes."""
    system = System({"CELLNODE_PROVISIONER_UNKNOWN_AFTER_SECONDS": "5"})
    try:
        system.start()
        nodes = _deployed(system)
        stopped = [_restart(system, nodes, _interrupt) for _ in range(RESTARTS)]
        killed = [_restart(system, nodes, System.kill) for _ in range(RESTARTS)]
    finally:
        system.stop()
        system.remove()
    return [*_rows("ctrl_c", stopped), *_rows("sigkill", killed)]


def _deployed(system: System) -> list[str]:
    with Follower(system.kafka) as statuses:
        world = World(system, statuses)
        checkpoint = world.pin(count=0)
        names = [f"n{number}" for number in range(NODES)]
        for name in names:
            world.ask(name, checkpoint, CELL, outputs=["count"])
        for name in names:
            world.healthy(name, 1, seconds=HEALTHY_SECONDS_MAX)
    return names


def _interrupt(system: System) -> None:
    system.stop()


def _restart(system: System, nodes: list[str], end: Callable[[System], None]) -> Restart:
    end(system)
    begun = time.monotonic()
    system.start()
    seconds = None
    with Follower(system.kafka) as statuses:
        with contextlib.suppress(AssertionError):
            until(
                "all are as before",
                lambda: _healthy(system, statuses, nodes) == len(nodes),
                seconds=HEALTHY_SECONDS_MAX,
            )
            seconds = time.monotonic() - begun
        lost = len(nodes) - _healthy(system, statuses, nodes)
    answering = sum(World(system, statuses).call(node).status == 200 for node in nodes)
    doubled = len(system.instances_running()) - len(nodes)
    told = Restart(seconds, lost + len(nodes) - answering, max(0, doubled))
    print(f"# {end.__name__.strip('_')} {told}", file=sys.stderr, flush=True)
    return told


def _healthy(system: System, statuses: Follower, nodes: list[str]) -> int:
    """Nodes that say HEALTHY with one instance, which runs."""
    alive = system.instances_running()
    count = 0
    for node in nodes:
        said, known = statuses.now(f"default/{node}"), statuses.instances(node)
        healthy = statuses.instances(node, "HEALTHY")
        is_one = known == healthy and len(known) == 1 and alive.count(known[0]) == 1
        count += is_one and said is not None and said.status == "HEALTHY"
    return count


def _rows(end: str, restarts: list[Restart]) -> list[Row]:
    seconds = [one.seconds for one in restarts if one.seconds is not None]
    name = f"restart_{end}"
    return [
        Row(f"{name}_count", len(seconds), at_least=RESTARTS),
        Row(f"{name}_nodes_lost_count", _sum(restarts, "lost"), at_most=0),
        Row(f"{name}_instances_doubled_count", _sum(restarts, "doubled"), at_most=0),
        Row(f"{name}_all_healthy_median_seconds", median(seconds)),
        Row(f"{name}_all_healthy_longest_seconds", max(seconds, default=None)),
    ]


def _sum(restarts: list[Restart], what: str) -> float:
    return float(sum(getattr(one, what) for one in restarts))


if __name__ == "__main__":
    sys.exit(finish(rows()))
