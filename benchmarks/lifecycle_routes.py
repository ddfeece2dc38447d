"""From the event to the request: how soon a new instance is routed to, and the whole path."""

from __future__ import annotations

import time
from datetime import datetime

from benchmarks.rows import Row, percentile
from benchmarks.wrk import loaded
from tests.e2e.calls import Answer
from tests.e2e.world import World

RECREATIONS, INSTANCES = 26, 4  # Over a hundred samples, so that a p99 means something.
ROUTED_P50_MS_MAX, ROUTED_P99_MS_MAX = 50.0, 250.0
# The working directory of an interpreter lies in the directory that bears its instance's id.
CELL_THAT_TELLS_WHO = "import os\nwho = os.path.basename(os.path.dirname(os.getcwd()))"


def event_to_routed(world: World) -> list[Row]:
    """Every instance of several recreations, under load: HEALTHY written -> first answer."""
    node = world.deploy(world.pin(), CELL_THAT_TELLS_WHO, outputs=["who"], want=INSTANCES)
    old = set(world.statuses.instances(node))
    with world.load(node, connections=4, pause_seconds=0.001) as seen:
        for _ in range(RECREATIONS):
            world.recreate(node, INSTANCES)
        seen.wait_for(20)
    offset = time.time() - time.monotonic()
    first: dict[str, Answer] = {}
    for answer in sorted(seen.answers, key=lambda answer: answer.ended):
        first.setdefault(answer.output["who"], answer)
    milliseconds = [
        (first[instance].ended + offset - healthy_at(world, instance)) * 1000
        for instance in first
        if instance not in old
    ]
    assert len(milliseconds) >= RECREATIONS * INSTANCES * 0.9, "instances that were never asked"
    return [
        Row("event_to_routed_p50_ms", percentile(milliseconds, 50), at_most=ROUTED_P50_MS_MAX),
        Row("event_to_routed_p99_ms", percentile(milliseconds, 99), at_most=ROUTED_P99_MS_MAX),
        Row("event_to_routed_failed_requests_count", len(seen.failed()), at_most=0),
    ]


def healthy_at(world: World, instance: str) -> float:
    """When the event was written, in seconds since the epoch."""
    value = world.statuses.wait(instance, "HEALTHY").value
    assert value is not None
    return datetime.fromisoformat(value["at"]).timestamp()


def whole_path(world: World) -> list[Row]:
    """Gateway, two instances, the small cell: stated, since its target belongs elsewhere."""
    cell = "y = [v * 2 for v in x]"
    node = world.deploy(world.pin(), cell, inputs=["x"], outputs=["y"], want=2)
    world.answers(node, x=[1])
    host, port = world.system.gateway
    url = f"http://{host}:{port}/v1/nodes/{node}:execute"
    told = loaded(url, b'{"input":{"x":[1,2,3]}}')
    return [
        Row("whole_path_small_cell_requests_per_second", told.per_second if told else None),
        Row("whole_path_small_cell_p99_ms", told.p99_ms if told else None),
        Row("whole_path_failed_requests_count", told.failed if told else None, at_most=0),
    ]
