"""The embedded broker forgets all but 5 MiB of a partition; what is known outlives that."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterator
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from schemas.ids import partition_of
from tests.e2e.bus import Follower, Json, Producer, a_command
from tests.e2e.system import System
from tests.e2e.waiting import until
from tests.e2e.world import WHO, World

PARTITIONS = 4
CELL_BYTES = 256_000
DEPLOYMENTS = 400  # Of such cells: 100 MB of commands, and as much again of nodes.
UNDECIDED_MAX = 6  # Of more than 5 MiB of commands the broker would forget the first.
ZOMBIE_RECORDS = 20
ZOMBIE_BYTES = 400_000  # 8 MB in each of two tables.
ZOMBIE_PAUSE_SECONDS = 0.1
TABLES = ("cellnode.nodes", "cellnode.instances", "cellnode.statuses")


@pytest.fixture
def world(own_system: System) -> Iterator[World]:
    with Follower(own_system.kafka) as statuses:
        yield World(own_system, statuses)


def beside(place: str) -> str:
    """A node whose records lie in the same partition."""
    names = (f"n{uuid4().hex[:6]}" for _ in range(1000))
    wanted = partition_of(place, PARTITIONS)
    return next(name for name in names if partition_of(f"default/{name}", PARTITIONS) == wanted)


def deploy_often(world: World, node: str, spec: Json) -> None:
    """Large cells, one after another, all decided; the node is suspended, so nothing starts."""
    kafka = world.system.kafka
    with Follower(kafka, "cellnode.outcomes") as outcomes, Producer(kafka) as producer:
        known = len(decided(outcomes, node))
        for number in range(DEPLOYMENTS):
            cell = f"y = {number}  # {'x' * CELL_BYTES}"
            producer.publish(a_command("DeployNode", node, spec={**spec, "cell": cell}))
            least = known + number - UNDECIDED_MAX
            until("they are decided", lambda: len(decided(outcomes, node)) >= least)  # noqa: B023
        until("all are decided", lambda: len(decided(outcomes, node)) >= DEPLOYMENTS)
        assert set(decided(outcomes, node).values()) == {"CommandAccepted"}


def decided(outcomes: Follower, node: str) -> dict[str, str]:
    """What became of each command to the node."""
    said = [one.value for one in outcomes.seen() if one.value and one.value.get("node") == node]
    return {one["command"]: one["kind"] for one in said}


async def haunt(kafka: str, topic: str, partition: int, record: Json) -> None:
    """Writes as an owner of long ago who does not know that he is none: of the least term."""
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        old = {**record, "term": 0, "seq": 0, "padding": "x" * ZOMBIE_BYTES}
        key = str(record["instance"]).encode()
        for _ in range(ZOMBIE_RECORDS):
            value = json.dumps(old).encode()
            await producer.send_and_wait(topic, value, key=key, partition=partition)
            await asyncio.sleep(ZOMBIE_PAUSE_SECONDS)


async def first_offsets(kafka: str, partition: int) -> dict[str, int]:
    """Where each table begins now: above 0 the broker has forgotten what was before."""
    async with AIOKafkaConsumer(bootstrap_servers=kafka) as consumer:
        places = [TopicPartition(topic, partition) for topic in TABLES]
        found = await consumer.beginning_offsets(places)
        return {place.topic: offset for place, offset in found.items()}


def haunt_tables(world: World, instance: str, partition: int) -> None:
    """Both tables say again and again that the instance is going, and neither is believed."""
    kafka = world.system.kafka
    with Follower(kafka, "cellnode.instances") as facts:
        fact = until("its record", lambda: facts.now(instance)).value or {}
    status = world.statuses.wait(instance, "HEALTHY").value or {}
    going = {"reason": "REPLACED", "at": status["at"]}
    asyncio.run(haunt(kafka, TABLES[1], partition, {**fact, "deleting": going}))
    asyncio.run(haunt(kafka, TABLES[2], partition, {**status, "status": "DELETING"}))


def truth(world: World, node: str) -> Json:
    """All that must still be so of the node, without the order in which owners wrote it."""
    record = world.projected("nodes")[f"default/{node}"]
    instances = world.healthy(node, 2)
    return {
        "record": {name: value for name, value in record.items() if name not in ("term", "seq")},
        "processes": {one: world.system.instance_pids(one) for one in instances},
        "directories": sorted(one.name for one in (world.system.data / "instances").iterdir()),
    }


def suspended(world: World, node: str, spec: Json) -> None:
    """A node that never runs, for its records alone."""
    world.command("DeployNode", node, spec={**spec, "cell": "y = 0"})
    world.command("SuspendNode", node)
    world.only(node, 0)


@pytest.mark.full
@pytest.mark.timeout(240)
def test_a_hundred_megabytes_of_other_records_hide_nothing_from_who_starts_anew(
    world: World,
) -> None:
    node = world.deploy(world.pin(), WHO, outputs=["who"], want=2)
    partition, noisy = partition_of(f"default/{node}", PARTITIONS), beside(f"default/{node}")
    spec = {"checkpoint": world.pin(), "outputs": ["y"]}
    suspended(world, noisy, spec)
    before = truth(world, node)

    deploy_often(world, noisy, spec)
    haunt_tables(world, next(iter(before["processes"])), partition)
    begins = asyncio.run(first_offsets(world.system.kafka, partition))
    assert all(offset > 0 for offset in begins.values()), begins
    world.redis("FLUSHALL")  # What is known now is what the bus still tells.
    for service in ("health", "provisioner", "gateway"):
        world.system.restart(service, signal.SIGKILL)

    world.routed(node, 2)
    assert truth(world, node) == before
    nodes = world.projected("nodes")
    assert nodes.keys() == {f"default/{node}", f"default/{noisy}"}
    assert nodes[f"default/{noisy}"]["generation"] == DEPLOYMENTS + 2
    with Follower(world.system.kafka) as newcomer:
        until("it sees all", lambda: world.folded(newcomer) == world.everything_known())
    world.still_works(node)
