"""The embedded broker speaks Kafka's protocol over TCP, as far as we rely on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError

from schemas.topics import Topic
from services.embedded.broker import EmbeddedBroker, EmbeddedBrokerFailed

ROOT = Path(__file__).parents[3]


async def test_every_declared_topic_exists_with_the_partitions_asked_for() -> None:
    names = [topic.value for topic in Topic]
    with EmbeddedBroker(names, 3) as broker:
        async with AIOKafkaConsumer(*names, bootstrap_servers=broker.address) as consumer:
            found = {name: consumer.partitions_for_topic(name) for name in names}
            assert await consumer.topics() == set(names)
    assert found == {name: {0, 1, 2} for name in names}


async def test_a_record_comes_back_with_its_headers_and_a_tombstone_is_null(kafka: str) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka, enable_idempotence=True) as producer:
        headers = [("a", b"\xff"), ("b", None)]
        await producer.send_and_wait("cellnode.nodes", b"v", b"k", partition=2, headers=headers)
        await producer.send_and_wait("cellnode.nodes", None, b"k", partition=2)
    options = {"bootstrap_servers": kafka, "auto_offset_reset": "earliest"}
    async with AIOKafkaConsumer("cellnode.nodes", **options) as consumer:
        first, second = await consumer.getone(), await consumer.getone()
    assert (first.value, first.partition, list(first.headers)) == (b"v", 2, headers)
    assert second.value is None


async def test_a_broker_that_is_down_takes_nothing_and_keeps_what_it_had(
    broker: EmbeddedBroker,
) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=broker.address, request_timeout_ms=400)
    await producer.start()
    try:
        await producer.send_and_wait("cellnode.nodes", b"kept", partition=0)
        broker.down()
        with pytest.raises(KafkaError):
            await producer.send_and_wait("cellnode.nodes", b"refused", partition=0)
        broker.up()
        again = await producer.send_and_wait("cellnode.nodes", b"after", partition=0)
    finally:
        await producer.stop()
    assert again.offset == 1


def test_a_broker_that_is_not_started_says_so() -> None:
    with pytest.raises(EmbeddedBrokerFailed, match="not started"):
        _ = EmbeddedBroker(["t"], 1).address


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_process_tells_its_address_and_ends_cleanly(tmp_path: Path, number: int) -> None:
    told = tmp_path / "address"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "CELLNODE_EMBEDDED_ADDRESS_FILE": str(told)}
    process = subprocess.Popen([sys.executable, "-P", "-m", "services.embedded"], env=env)
    try:
        deadline = time.monotonic() + 10
        while not told.exists():
            assert time.monotonic() < deadline, "no address"
            time.sleep(0.01)
        assert told.read_text().startswith("127.0.0.1:")
        process.send_signal(number)
        assert process.wait(5) == 0
    finally:
        process.kill()
        process.wait()
