"""`make bench-lifecycle`: how fast nodes come, go and heal, on a system of real processes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.lifecycle_deploy import digits_above_bare_load, small_deployments
from benchmarks.lifecycle_faults import kills_of_instances, kills_of_services, redis_faults
from benchmarks.lifecycle_routes import event_to_routed, whole_path
from benchmarks.rows import Row, finish
from tests.e2e.bus import Follower
from tests.e2e.system import System
from tests.e2e.world import World

STOP_SECONDS_MAX = 5.0
DEMO_SECONDS_MAX, DEMO_HANGS_SECONDS = 30.0, 120.0
GATEWAY_SECONDS_MAX = 300.0

Part = Callable[[World], list[Row]]
PARTS: list[Part] = [
    small_deployments,
    digits_above_bare_load,
    kills_of_instances,
    event_to_routed,
    redis_faults,
    kills_of_services,
    whole_path,
]


def main() -> int:
    rows: list[Row] = []
    with started() as world:
        for part in PARTS:
            rows += measured(part, world)
            world.forget()
    rows += stopped()
    rows += demo()
    rows += gateway_alone()
    return finish(rows)


@contextmanager
def started() -> Iterator[World]:
    system = System()
    system.start()
    try:
        with Follower(system.kafka) as statuses:
            yield World(system, statuses)
    finally:
        system.stop()
        system.remove()


def measured(part: Part, world: World) -> list[Row]:
    """A part that fails says why and leaves a short row; the others are measured all the same."""
    name = part.__name__
    print(f"# {name} ...", file=sys.stderr, flush=True)
    begun = time.monotonic()
    try:
        rows = part(world)
    except AssertionError as error:
        print(f"# {name} failed: {error}", file=sys.stderr, flush=True)
        return [Row(name, None)]
    for row in rows:
        print(f"#   {row}", file=sys.stderr, flush=True)
    print(f"# {name} took {time.monotonic() - begun:.1f} s", file=sys.stderr, flush=True)
    return rows


def stopped() -> list[Row]:
    """Ctrl-C on a system that serves: how long, and what is left."""
    system = System()
    system.start()
    try:
        with Follower(system.kafka) as statuses:
            world = World(system, statuses)
            world.deploy(world.pin(), "y = 1", outputs=["y"], want=4)
        seconds = system.stop()
        left = system.traces()
    finally:
        system.stop()
        system.remove()
    for trace in left:
        print(f"# left: {trace}", file=sys.stderr)
    return [
        Row("stop_of_everything_seconds", seconds, at_most=STOP_SECONDS_MAX),
        Row("left_after_stop_count", len(left), at_most=0),
    ]


def demo() -> list[Row]:
    """From nothing to everything gone again, as `make demo` runs it in a pipe."""
    begun = time.monotonic()
    command = [sys.executable, "-m", "examples.demo"]
    ran = subprocess.run(
        command, capture_output=True, text=True, timeout=DEMO_HANGS_SECONDS, check=False
    )
    seconds = time.monotonic() - begun
    if ran.returncode != 0:
        sys.stderr.write(ran.stderr[-2000:])
    shown = seconds if ran.returncode == 0 else None
    return [Row("demo_seconds", shown, at_most=DEMO_SECONDS_MAX)]


def gateway_alone() -> list[Row]:
    """The rows of `benchmarks.gateway_alone`, which runs in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.gateway_alone"]
    ran = subprocess.run(
        command, capture_output=True, text=True, timeout=GATEWAY_SECONDS_MAX, check=False
    )
    sys.stderr.write(ran.stderr[-2000:])
    rows = [row for line in ran.stdout.splitlines() if (row := parsed(line)) is not None]
    return rows or [Row("gateway_alone_to_nginx_ratio", None)]


def parsed(line: str) -> Row | None:
    """A printed row as a row again; None for anything else."""
    words = line.split()
    if len(words) != 4 or words[3] not in ("ok", "short"):
        return None
    value = None if words[1] == "none" else float(words[1])
    at_most = float(words[2][2:]) if words[2].startswith("<=") else None
    at_least = float(words[2][2:]) if words[2].startswith(">=") else None
    return Row(words[0], value, at_most, at_least)


if __name__ == "__main__":
    sys.exit(main())
