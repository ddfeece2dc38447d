"""SIGKILL of launcher or bus at random moments, under commands: what was promised comes back."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

import cellnode
from tests.e2e.bus import Follower, Json, a_command
from tests.e2e.system import System
from tests.e2e.system_running import living
from tests.e2e.waiting import until
from tests.e2e.world import World

NODES = [f"n{number}" for number in range(5)]
WANT_MAX = 2
PAUSE_SECONDS = 0.04
LOST_SECONDS_MAX = 0.25  # Promised are 0.1; this machine may be busy.
PARTITIONS = 4
_QUIET: dict[str, Any] = {"enable.auto.commit": False}

pytestmark = pytest.mark.full


class Churn:
    """Commands without end, until whoever takes them dies."""

    def __init__(
        self, kafka: str, checkpoint: str, dice: random.Random, handles: dict[str, set[int]]
    ) -> None:
        self._kafka, self._checkpoint, self._dice = kafka, checkpoint, dice
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.taken: dict[str, float] = {}  # When the bus acknowledged a command.
        self.decided: dict[str, float] = {}  # When its outcome was read here.
        self._handles = handles

    def __enter__(self) -> Churn:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(20)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        options: dict[str, Any] = {"bootstrap.servers": self._kafka, "log_level": 0}
        producer = Producer({**options, "linger.ms": 0})
        reader = Consumer({**options, "group.id": "churn", **_QUIET, "fetch.wait.max.ms": 10})
        topics = ("cellnode.outcomes", "cellnode.instances")
        reader.assign([TopicPartition(one, n, 0) for one in topics for n in range(PARTITIONS)])
        while not self._stopped.is_set():
            self._send(producer, self._command())
            for message in reader.consume(100, timeout=PAUSE_SECONDS):
                if not message.error() and (value := message.value()):
                    self._read(json.loads(value))
        producer.purge()
        reader.close()

    def _send(self, producer: Any, command: Json) -> None:
        def told(error: Any, _: Any) -> None:
            if error is None:
                self.taken[command["id"]] = time.monotonic()

        key = f"default/{command['node']}".encode()
        producer.produce("cellnode.commands", json.dumps(command), key, on_delivery=told)
        producer.poll(0)

    def _read(self, record: Json) -> None:
        if "command" in record:
            self.decided.setdefault(record["command"], time.monotonic())
        elif record.get("handle"):
            self._handles[record["instance"]].add(record["handle"]["pid"])

    def _command(self) -> Json:
        node, want = self._dice.choice(NODES), self._dice.randint(1, WANT_MAX)
        kind = self._dice.choice(["DeployNode"] * 3 + ["ScaleNode", "RecreateNode", "DeleteNode"])
        if kind == "DeployNode":
            spec = {"checkpoint": self._checkpoint, "cell": "y = 1", "outputs": ["y"]}
            return a_command(kind, node, spec={**spec, "instances": {"min": 1, "want": want}})
        return a_command(kind, node, **({"want": want} if kind == "ScaleNode" else {}))


@pytest.fixture(scope="module")
def handles() -> dict[str, set[int]]:
    """The pids that every instance's id was ever given to."""
    return defaultdict(set)


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    with living(System({"CELLNODE_PROVISIONER_UNKNOWN_AFTER_SECONDS": "2"})) as system:
        yield system


def outcomes(world: World) -> set[str]:
    with Follower(world.system.kafka, "cellnode.outcomes") as known:
        time.sleep(0.3)
        return {str((one.value or {}).get("command")) for one in known.seen()}


def wanted(nodes: Follower) -> dict[str, int]:
    """What every node that stays wants, as the bus says."""
    last = {one.key: one.value for one in nodes.seen() if not one.key.startswith("~")}
    known = {key: value for key, value in last.items() if value and not value["deleting"]}
    return {value["node"]: value["spec"]["instances"]["want"] for value in known.values()}


def is_settled(system: System, world: World, nodes: Follower) -> bool:
    """Exactly what is wanted is HEALTHY, nothing else is on record, on the disk or running."""
    want = wanted(nodes)
    healthy = [one for node in NODES for one in world.statuses.instances(node, "HEALTHY")]
    everything = [one for node in NODES for one in world.statuses.instances(node)]
    there = sorted(path.name for path in (system.data / "instances").iterdir())
    return (
        sorted(healthy) == sorted(everything) == there == system.instances_running()
        and {node: len(world.statuses.instances(node)) for node in want} == want
        and len(there) == sum(want.values())
    )


def handles_now(system: System) -> dict[str, int]:
    """The process of each instance, as the bus knows it."""
    with Follower(system.kafka, "cellnode.instances") as facts:
        time.sleep(0.3)
        known = [one.value for one in facts.seen() if one.value and one.value.get("handle")]
    return {one["instance"]: one["handle"]["pid"] for one in known}


def launcher(system: System) -> None:
    system.kill()
    system.start()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("die", [launcher, System.restart_broker])
def test_killed_at_any_moment_nothing_that_was_promised_is_lost(
    system: System, handles: dict[str, set[int]], die: Callable[[System], None], seed: int
) -> None:
    dice = random.Random(f"{die.__name__} {seed}")
    pinned = cellnode.pin("e2e", namespace={"seed": str(uuid4())}, store=system.store, check=False)
    with Churn(system.kafka, pinned.digest, dice, handles) as churn:
        time.sleep(dice.uniform(0.5, 3.0))
        killed_at = time.monotonic()
        die(system)

    safe_until = killed_at - LOST_SECONDS_MAX
    taken = {one for one, at in churn.taken.items() if at < safe_until}
    decided = {one for one, at in churn.decided.items() if at < safe_until}
    assert taken
    with Follower(system.kafka) as statuses, Follower(system.kafka, "cellnode.nodes") as nodes:
        world = World(system, statuses)
        until("all are decided", lambda: (taken | decided) <= outcomes(world), seconds=40)
        until("all is as wanted", lambda: is_settled(system, world, nodes), seconds=60)
    for instance, pid in handles_now(system).items():
        handles[instance].add(pid)
    assert [one for one, pids in handles.items() if len(pids) > 1] == []
