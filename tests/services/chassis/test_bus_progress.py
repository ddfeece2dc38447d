"""A consumer that silently stopped is found out; one that has nothing to read is not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.errors import BusUnavailable
from services.chassis.bus_progress import watch_progress
from services.chassis.clock import SYSTEM_CLOCK
from tests.services.chassis.processes import send

NODES = TopicPartition("cellnode.nodes", 0)
QUICK = {"check_seconds": 0.02, "stuck_seconds": 0.2}


@asynccontextmanager
async def reader(kafka: str) -> AsyncIterator[Any]:
    async with AIOKafkaConsumer(bootstrap_servers=kafka, fetch_max_wait_ms=10) as consumer:
        consumer.assign([NODES])
        consumer.seek(NODES, 0)
        yield consumer


async def test_records_that_wait_and_are_not_read_end_the_process(kafka: str) -> None:
    async with reader(kafka) as consumer:
        await send(kafka, "cellnode.nodes", "a", b"waits", partition=0)
        with pytest.raises(BusUnavailable, match="nodes/0"):
            await asyncio.wait_for(watch_progress(lambda: consumer, SYSTEM_CLOCK, **QUICK), 5)


async def test_one_who_reads_or_has_nothing_to_read_is_left_alone(kafka: str) -> None:
    async with reader(kafka) as consumer:
        watching = asyncio.create_task(watch_progress(lambda: consumer, SYSTEM_CLOCK, **QUICK))
        for _ in range(4):
            await send(kafka, "cellnode.nodes", "a", b"read", partition=0)
            await consumer.getone()
            await asyncio.sleep(0.1)
        assert not watching.done()
        watching.cancel()
