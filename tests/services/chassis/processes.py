"""Processes, buses and outside readers for the tests of the chassis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import ConsumerRecord

from schemas.ids import partition_of
from services.chassis.bus import Bus
from services.chassis.process import Process
from services.chassis.settings import Settings

PARTITIONS = 4
JOIN_SECONDS = 15.0


def a_process(kafka: str, **changes: Any) -> Process[Settings]:
    """As on the embedded broker: it made the topics, and waits are short."""
    embedded = {
        "kafka_bootstrap_servers": kafka,
        "kafka_fetch_max_wait_ms": 10,
        "kafka_session_timeout_ms": 3_000,
        "cellnode_create_topics": False,
        "cellnode_partitions": PARTITIONS,
        "send_timeout_seconds": 2.0,
    }
    return Process("test", Settings.model_validate(embedded | changes))


@asynccontextmanager
async def consuming(bus: Bus) -> AsyncIterator[None]:
    """The bus, connected and joined to its groups."""
    async with bus, bus.consuming():
        await asyncio.wait_for(bus.joined(), JOIN_SECONDS)
        yield


async def send(kafka: str, topic: str, place: str, value: bytes | None, **given: Any) -> None:
    """What an outside program sends; `partition` and `headers` may be wrong on purpose."""
    given.setdefault("partition", partition_of(place, PARTITIONS))
    given.setdefault("key", place.encode())
    sizes = {"max_request_size": given.pop("max_request_size", 1_048_576)}
    async with AIOKafkaProducer(bootstrap_servers=kafka, **sizes) as producer:
        await producer.send_and_wait(topic, value, **given)


async def everything(kafka: str, topic: str) -> list[ConsumerRecord[bytes, bytes]]:
    """All records that are on a topic now, partition by partition."""
    places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    found: list[ConsumerRecord[bytes, bytes]] = []
    async with AIOKafkaConsumer(bootstrap_servers=kafka, fetch_max_wait_ms=10) as consumer:
        ends = await consumer.end_offsets(places)
        for place in places:
            consumer.assign([place])
            consumer.seek(place, (await consumer.beginning_offsets([place]))[place])
            while await consumer.position(place) < ends[place]:
                found.append(await asyncio.wait_for(consumer.getone(place), 5))
    return found


async def committed(kafka: str, group: str, topic: str) -> dict[int, int]:
    """The offsets that a group will begin at again."""
    places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
    options = {"bootstrap_servers": kafka, "group_id": group, "enable_auto_commit": False}
    async with AIOKafkaConsumer(**options) as consumer:
        consumer.assign(places)
        found = {place.partition: await consumer.committed(place) for place in places}
    return {partition: offset for partition, offset in found.items() if offset is not None}


def headers_of(record: ConsumerRecord[bytes, bytes]) -> dict[str, str]:
    return {name: value.decode() for name, value in record.headers if value is not None}
