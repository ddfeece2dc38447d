"""From the command on the bus to HEALTHY: a small checkpoint, and the demo's digits."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Any

from benchmarks.rows import Row, median
from tests.e2e.bus import Producer, a_command
from tests.e2e.world import World

SMALL_RUNS, DIGITS_RUNS = 20, 5
SMALL_SECONDS_MAX, DIGITS_ABOVE_SECONDS_MAX = 1.0, 0.6

# What a plain interpreter does with the same blobs: read, unpickle, one prediction's imports.
BARE_LOAD = """
import json, pickle, sys
store, digest = sys.argv[1:]
manifest = json.load(open(f"{store}/checkpoints/{digest}.json"))
def blob(reference):
    name = reference["sha256"]
    return open(f"{store}/blobs/{name[:2]}/{name}", "rb").read()
for module in manifest["modules"]:
    __import__(module["module"])
for group in manifest["groups"]:
    pickle.loads(blob(group["blob"]), buffers=[blob(each) for each in group["buffers"]])
print("loaded", flush=True)
"""


def small_deployments(world: World) -> list[Row]:
    """Variables and functions of the standard library only."""
    checkpoint = world.pin(offset=1, table={"a": [1, 2, 3]})
    seconds = [deployment(world, checkpoint, "y = x + offset") for _ in range(SMALL_RUNS)]
    return [
        Row("deploy_small_median_seconds", median(seconds), at_most=SMALL_SECONDS_MAX),
        Row("deploy_small_slowest_seconds", max(seconds)),
    ]


def digits_above_bare_load(world: World) -> list[Row]:
    """In turn, so that both meet the same machine."""
    checkpoint = world.pin(**digits())
    cell = "y = int(model.predict([x])[0])"
    bare, deployed = [], []
    for _ in range(DIGITS_RUNS):
        bare.append(bare_load(world, checkpoint))
        deployed.append(deployment(world, checkpoint, cell))
    base, whole = median(bare) or 0.0, median(deployed) or 0.0
    return [
        Row("digits_bare_load_median_seconds", base),
        Row("deploy_digits_median_seconds", whole),
        Row("deploy_digits_above_seconds", whole - base, at_most=DIGITS_ABOVE_SECONDS_MAX),
    ]


def digits() -> dict[str, Any]:
    """The demo's model."""
    from examples.demo import Trained

    return Trained().namespace


def deployment(world: World, checkpoint: str, cell: str) -> float:
    """Seconds from before the command is published until HEALTHY was heard outside."""
    node = world.name()
    spec = {"checkpoint": checkpoint, "cell": cell, "inputs": ["x"], "outputs": ["y"]}
    command = a_command("DeployNode", node, spec=spec)
    with Producer(world.system.kafka) as producer:
        begun = time.monotonic()
        producer.publish(command)
        healthy = world.statuses.wait(f"default/{node}", "HEALTHY", seconds=30)
        producer.publish(a_command("DeleteNode", node))
    world.statuses.wait(f"default/{node}", "DELETING")
    return healthy.at - begun


def bare_load(world: World, checkpoint: str) -> float:
    """With as many threads as an instance gets, since making them takes time too."""
    command = [sys.executable, "-c", BARE_LOAD, str(world.system.store), checkpoint]
    begun = time.monotonic()
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"loaded\n"
        return time.monotonic() - begun
