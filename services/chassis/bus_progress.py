"""A consumer that silently stopped is found out, so that the process can be started anew."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import BusUnavailable
from services.chassis.clock import Clock
from services.chassis.telemetry import logger

CHECK_SECONDS = 15.0
STUCK_SECONDS = 60.0  # Records wait and none is read for so long: the process is of no use.
ASK_TIMEOUT_SECONDS = 10.0

# Where a consumer stands in a partition, and when it last heard what there is. Behind the last
# record there may be offsets that were compacted away: there it asks on, and stands where it is.
# What has been fetched and is taken by nobody is not asked for again, so both stay the same.
Sign = tuple[int, int | None]

log = logger("chassis.bus")


async def watch_progress(
    consumer: Callable[[], Any],
    clock: Clock,
    *,
    check_seconds: float = CHECK_SECONDS,
    stuck_seconds: float = STUCK_SECONDS,
) -> None:
    """Until cancelled; BusUnavailable once records wait in a partition that shows no life.

    The brokers are asked for the ends: what a stuck consumer knows of them is as old as itself.
    """
    moved: dict[TopicPartition, tuple[Sign, float]] = {}
    while True:
        await clock.sleep(clock.jittered(check_seconds))
        try:
            behind = await asyncio.wait_for(_behind(consumer()), ASK_TIMEOUT_SECONDS)
        except (KafkaError, asyncio.TimeoutError) as error:
            moved.clear()  # Kafka is away, which is another trouble.
            log.warning("progress unknown", error=repr(error))
            continue
        now = clock.monotonic()
        moved = {one: _since(moved.get(one), sign, now) for one, sign in behind.items()}
        for partition, (_, since) in moved.items():
            if now - since > stuck_seconds:
                raise BusUnavailable(f"{partition.topic}/{partition.partition} is read no more")


async def _behind(consumer: Any) -> dict[TopicPartition, Sign]:
    """Of the partitions where records may wait."""
    assigned = [] if consumer is None else list(consumer.assignment())
    ends = await consumer.end_offsets(assigned) if assigned else {}
    signs = {one: await _sign(consumer, one) for one in assigned}
    return {one: sign for one, sign in signs.items() if sign[0] < ends[one]}


async def _sign(consumer: Any, partition: TopicPartition) -> Sign:
    position = await consumer.position(partition)
    return position, consumer.last_poll_timestamp(partition)


def _since(known: tuple[Sign, float] | None, sign: Sign, now: float) -> tuple[Sign, float]:
    """The sign of life, and since when it is the same."""
    return known if known is not None and known[0] == sign else (sign, now)
