"""Outside producers that partition and compress as they like: nothing lost, or decided twice."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
from aiokafka.structs import ConsumerRecord
from confluent_kafka import Producer

from schemas.ids import partition_of
from tests.e2e.bus import Json, a_command
from tests.e2e.on_kafka.ground import Ground, several
from tests.e2e.on_kafka.services import PARTITIONS
from tests.e2e.waiting import until
from tests.servers import ApacheKafka, RedisServer
from tests.servers.topics import remove_topics
from tests.services.chassis.processes import everything

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

COMMANDS, OUTCOMES, DEAD = "cellnode.commands", "cellnode.outcomes", "cellnode.dead-letters"
NODES_COUNT = 24
FLUSH_SECONDS_MAX = 20.0
# How librdkafka is asked to partition, whether the records have keys, how they are compressed.
PRODUCERS = {
    "its default, CRC32": ({"compression.type": "lz4"}, True),
    "murmur2, as Java does": (
        {"partitioner": "murmur2_random", "compression.type": "zstd"},
        True,
    ),
    "no key at all": ({"sticky.partitioning.linger.ms": "0", "compression.type": "snappy"}, False),
}


@pytest.fixture(scope="module")
def ground(apache_kafka: ApacheKafka, debian_redis: RedisServer) -> Iterator[Ground]:
    """Two provisioners, so that what is forwarded changes hands too."""
    asyncio.run(remove_topics(apache_kafka.address))
    debian_redis.ask("FLUSHALL")
    with several(apache_kafka, debian_redis, provisioner=2) as ground:
        yield ground


def send_all(kafka: str, commands: list[Json], how: dict[str, str], *, has_key: bool) -> None:
    producer = Producer({"bootstrap.servers": kafka, "linger.ms": 5, **how})
    for command in commands:
        key = f"default/{command['node']}".encode() if has_key else None
        producer.produce(COMMANDS, json.dumps(command).encode(), key)
    assert producer.flush(FLUSH_SECONDS_MAX) == 0


def about(records: list[ConsumerRecord[bytes, bytes]], ids: set[str]) -> list[Json]:
    """Those that tell of these commands, each with the partition that it lies in."""
    found = []
    for record in records:
        value = json.loads(record.value or b"{}")
        if {str(value.get("id")), str(value.get("command"))} & ids:
            found.append({**value, "partition": record.partition})
    return found


@pytest.mark.parametrize("producer", PRODUCERS)
def test_each_command_of_an_outside_producer_is_decided_once(ground: Ground, producer: str) -> None:
    """Who deploys without a checkpoint that exists starts nothing, but is decided all the same."""
    how, has_key = PRODUCERS[producer]
    spec = {"checkpoint": "0" * 64, "cell": "y = 1", "outputs": ["y"]}
    names = [f"{ground.unique}{number}" for number in range(NODES_COUNT)]
    commands = [a_command("DeployNode", name, spec=spec) for name in names]
    ids = {command["id"] for command in commands}

    send_all(ground.kafka, commands, how, has_key=has_key)
    until("all are decided", lambda: all(ground.outcomes(one) for one in ids), seconds=30)
    lying = about(asyncio.run(everything(ground.kafka, COMMANDS)), ids)
    told = about(asyncio.run(everything(ground.kafka, OUTCOMES)), ids)

    assert sorted(one["command"] for one in told) == sorted(ids)
    assert {one["kind"] for one in told} == {"CommandAccepted"}
    assert all(one["partition"] == home(one["node"]) for one in told)
    wrong = [one for one in lying if one["partition"] != home(one["node"])]
    assert len(lying) == len(ids) + len(wrong), "each wrong one is forwarded, once"
    assert (not wrong) is ("murmur2" in producer)
    assert asyncio.run(everything(ground.kafka, DEAD)) == []


def home(node: str) -> int:
    return partition_of(f"default/{node}", PARTITIONS)
