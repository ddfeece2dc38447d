"""Two replicas on Apache Kafka that come and go: each change stands in Grafana once."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.servers import ApacheKafka
from tests.servers.topics import fresh_topics
from tests.services.annotations.store import Store
from tests.services.annotations.telling import (
    START,
    TROUBLE,
    Instance,
    annotating,
    texts,
    until_told,
)
from tests.services.chassis.processes import PARTITIONS

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]
SESSION_MS = 6_000  # The least that Apache Kafka allows.
NODES = ("digits", "letters", "faces", "words")


async def replica(kafka: str, store: Store, dice: random.Random, is_over: asyncio.Event) -> None:
    """It runs for a while, leaves, and comes back."""
    while not is_over.is_set():
        async with annotating(kafka, store, kafka_session_timeout_ms=SESSION_MS):
            await asyncio.sleep(dice.uniform(1, 4))


async def test_replicas_that_come_and_go_double_nothing_and_lose_nothing(
    apache_kafka: ApacheKafka, store: Store
) -> None:
    kafka, dice, is_over = apache_kafka.address, random.Random(7), asyncio.Event()
    await fresh_topics(kafka, partitions=PARTITIONS)
    instances = [Instance(kafka, n, node=name) for n, name in enumerate(NODES, 1)]
    steps = [*START, *TROUBLE * 6]
    replicas = [asyncio.create_task(replica(kafka, store, dice, is_over)) for _ in range(2)]
    for step in steps:
        for one in instances:
            await one.goes(step)
        await asyncio.sleep(dice.uniform(0.1, 0.6))
    is_over.set()
    await asyncio.gather(*replicas)
    async with annotating(kafka, store, kafka_session_timeout_ms=SESSION_MS):
        await until_told(store, [text for one in instances for text in texts(one.name, *steps)])
