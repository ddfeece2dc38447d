"""The outside consumer on Apache Kafka, after compaction has taken most of the topic away."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from schemas.events import InstanceStatusChanged
from schemas.messages import SEQ_HEADER, TERM_HEADER
from schemas.statuses import InstanceStatus
from schemas.tables import OWNER_KEY, Owner
from schemas.topics import Topic
from tests.builders import NOON, a_node
from tests.e2e.outside import everything_on, statuses_by_the_example
from tests.e2e.waiting import until
from tests.servers import ApacheKafka
from tests.servers.topics import DECLARED, fresh_topics
from tests.services.health.test_nodes import an_event

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

KEYS, ROUNDS, PARTITION = 20, 60, 1
# A segment is closed at once, and cleaned as soon as it is.
EAGER = {
    "cleanup.policy": "compact",
    "segment.bytes": "1048576",
    "segment.ms": "200",
    "min.cleanable.dirty.ratio": "0.001",
    "delete.retention.ms": "200",
    "max.compaction.lag.ms": "500",
}
CLEANER = {"log.cleaner.backoff.ms": "200"}
TOPIC = Topic.STATUSES.value


class Writer:
    """Writes as an owner of the partition does, under a term."""

    def __init__(self, producer: Any, term: int) -> None:
        self._producer, self._term, self._seq = producer, term, 0

    async def take_over(self) -> None:
        mark = Owner(term=self._term, owner=f"o{self._term}", log="log", at=NOON)
        await self._send(OWNER_KEY, mark.model_dump_json().encode())

    async def put(self, event: InstanceStatusChanged) -> dict[str, Any]:
        self._seq += 1
        stamped = event.model_copy(update={"term": self._term, "seq": self._seq})
        value = stamped.model_dump_json().encode()
        await self._send(event.key, value)
        return dict(json.loads(value))

    async def bury(self, key: str) -> None:
        self._seq += 1
        await self._send(key, None)

    async def _send(self, key: str, value: bytes | None) -> None:
        order = ((TERM_HEADER, self._term), (SEQ_HEADER, self._seq))
        headers = [(name, str(number).encode()) for name, number in order]
        await self._producer.send_and_wait(
            TOPIC, value, key=key.encode(), partition=PARTITION, headers=headers
        )


async def written(kafka: str) -> dict[str, Any]:
    """What is so at the end: keys told often, some of them gone, some under a later owner."""
    truth: dict[str, Any] = {}
    events = [an_event(a_node(), n + 1, InstanceStatus.HEALTHY) for n in range(KEYS)]
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        old, new = Writer(producer, 1), Writer(producer, 2)
        await old.take_over()
        for _ in range(ROUNDS):
            for event in events:
                truth[event.key] = await old.put(event)
        await new.take_over()
        for event in events[:5]:
            truth[event.key] = await new.put(event)
        for event in events[5:10]:
            await new.bury(event.key)
            del truth[event.key]
        for event in events[2:7]:  # A zombie: what it takes away, the owner writes again.
            await old.put(event)
        for event in events[2:5]:
            truth[event.key] = await new.put(event)
        for event in events[5:7]:
            await new.bury(event.key)
    return truth


async def nudged(kafka: str) -> None:
    """Records of another key make Kafka close a segment, and so clean the one before."""
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        await Writer(producer, 0).bury("nobody")


def test_it_rebuilds_the_present_state_from_what_compaction_has_left() -> None:
    with ApacheKafka(CLEANER) as server:
        asyncio.run(fresh_topics(server.address, {**DECLARED, TOPIC: EAGER}))
        truth = asyncio.run(written(server.address))
        assert statuses_by_the_example(server.address) == truth

        def is_compacted() -> bool:
            asyncio.run(nudged(server.address))
            return len(everything_on(server.address)) < KEYS * 3

        until("the topic is compacted", is_compacted, seconds=60, pause_seconds=0.3)

        assert statuses_by_the_example(server.address) == truth
