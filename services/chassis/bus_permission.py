"""Whether Kafka's ACLs let us consume, looked at before joining a group and from then on.

A consumer that lacks a right only says so in its library's log, or ends the process.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.topics import Topic
from services.chassis.bus_security import client_options, refusal
from services.chassis.process import Process
from services.chassis.settings import Settings
from services.chassis.telemetry import logger

CHECK_SECONDS = 8.0
TRY_AGAIN_SECONDS = 1.0
ASK_SECONDS_MAX = 10.0
FETCH_MS = 500

log = logger("chassis.bus")


class Permission:
    """Named conditions of readiness, one for each topic that is consumed in a group."""

    def __init__(self, process: Process[Any]) -> None:
        self._process = process
        self._settings: Settings = process.settings
        self._asked: list[tuple[Topic, str]] = []

    @property
    def is_needed(self) -> bool:
        """Where nobody logs in, nobody is told apart."""
        return self._settings.kafka_security_protocol != "PLAINTEXT"

    def ask(self, topic: Topic, group: str) -> None:
        self._asked.append((topic, group))

    async def given(self) -> None:
        """Return once everything may be consumed; the caller may cancel."""
        clock = self._process.clock
        while not await self._look():
            await clock.sleep(clock.jittered(TRY_AGAIN_SECONDS))

    async def watch(self) -> None:
        """Until cancelled."""
        clock = self._process.clock
        while True:
            await clock.sleep(clock.jittered(CHECK_SECONDS))
            await self._look()

    async def _look(self) -> bool:
        return all([await self._may_consume(topic, group) for topic, group in self._asked])

    async def _may_consume(self, topic: Topic, group: str) -> bool:
        condition = self._process.readiness.require(f"may consume {topic.value}")
        try:
            await asyncio.wait_for(_consume(self._settings, topic, group), ASK_SECONDS_MAX)
        except (KafkaError, OSError, asyncio.TimeoutError) as error:
            why = refusal(error)
            if why:
                condition.unmet(why)
                log.warning("may not consume", topic=topic.value, group=group, why=why)
            return not why and condition.is_met  # Away is another trouble.
        condition.met()
        return True


async def _consume(settings: Settings, topic: Topic, group: str) -> None:
    """What needs the rights, without joining the group."""
    consumer = AIOKafkaConsumer(
        **client_options(settings),
        client_id="cellnode-look",
        group_id=group,
        enable_auto_commit=False,
    )
    place = TopicPartition(topic.value, 0)
    try:
        await consumer.start()
        consumer.assign([place])
        await consumer.committed(place)
        await consumer.seek_to_end(place)
        await consumer.getmany(place, timeout_ms=FETCH_MS)
    finally:
        await consumer.stop()
