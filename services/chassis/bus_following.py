"""One topic read as a group, record by record: what a record asks for may take hours, then commit.

Handlers of the bus are quick; this is for the one who waits for a neighbour in the outside world.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError
from typing_extensions import Self

from schemas.topics import Topic
from services.chassis.bus_records import RawRecord, raw_record
from services.chassis.bus_security import client_options, refusal
from services.chassis.endings import ended
from services.chassis.process import Process
from services.chassis.telemetry import logger

WAIT_MS_MAX = 7 * 24 * 3600 * 1000  # Then the group takes us for dead.
TRY_AGAIN_SECONDS = 1.0
STOP_TIMEOUT_SECONDS = 5.0
REVOKE_SECONDS = 2.0  # What is under way is better known to be done than cut off.

Act = Callable[[RawRecord], Awaitable[None]]

log = logger("chassis.bus")


class Following(ConsumerRebalanceListener):  # type: ignore[misc]
    """Calls `act` for one record at a time, in order; commits when it has returned.

    `begun` is called whenever partitions are assigned: others may have acted meanwhile. When
    partitions are taken away, `act` may finish a request, then it is cancelled; who is next begins
    at the same record.
    """

    def __init__(
        self,
        process: Process[Any],
        topic: Topic,
        group: str,
        *,
        act: Act,
        begun: Callable[[], None],
    ) -> None:
        self._process = process
        self._topic = topic
        self._group = group
        self._act = act
        self._begun = begun
        self._joined = process.readiness.require("bus")
        self._consumer: Any = None
        self._running: list[asyncio.Task[Any]] = []
        self._acting: asyncio.Task[None] | None = None
        self._rounds = 0

    async def __aenter__(self) -> Self:
        lag = self._process.bus_measures.follow_lag(lambda: self._consumer, self._process.clock)
        self._running = [
            self._process.watch(self._run(), "bus.following"),
            self._process.watch(lag, "bus.lag"),
        ]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await ended(self._running)
        await self._stop_consumer()  # Not within a task that is being ended: it takes its time.

    async def on_partitions_assigned(self, assigned: set[Any]) -> None:
        self._rounds += 1
        self._process.bus_measures.rebalances.inc()
        self._begun()
        self._joined.met(f"{len(assigned)} partitions")

    async def on_partitions_revoked(self, revoked: set[Any]) -> None:
        self._rounds += 1
        if self._acting is not None and not self._acting.done():
            await asyncio.wait({self._acting}, timeout=REVOKE_SECONDS)
            await ended([self._acting])

    async def _run(self) -> None:
        """Until cancelled; Kafka may come and go."""
        clock = self._process.clock
        while True:
            try:
                await self._follow()
            except KafkaError as error:
                self._joined.unmet(refusal(error) or repr(error))
                log.warning("not read", topic=self._topic.value, error=repr(error))
            await self._stop_consumer()
            await clock.sleep(clock.jittered(TRY_AGAIN_SECONDS))

    async def _follow(self) -> None:
        settings = self._process.settings
        self._consumer = AIOKafkaConsumer(
            **client_options(settings),
            client_id=f"cellnode-{self._process.name}",
            group_id=self._group,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=settings.kafka_fetch_max_wait_ms,
            session_timeout_ms=settings.kafka_session_timeout_ms,
            heartbeat_interval_ms=settings.kafka_heartbeat_ms,
            max_poll_interval_ms=WAIT_MS_MAX,
            rebalance_timeout_ms=settings.kafka_session_timeout_ms,
        )
        self._consumer.subscribe([self._topic.value], listener=self)
        await self._consumer.start()
        async for record in self._consumer:
            await self._take(raw_record(record))

    async def _stop_consumer(self) -> None:
        consumer, self._consumer = self._consumer, None
        if consumer is None:
            return
        try:
            await asyncio.wait_for(consumer.stop(), STOP_TIMEOUT_SECONDS)
        except (KafkaError, asyncio.TimeoutError) as error:
            log.warning("consumer did not stop in order", error=repr(error))

    async def _take(self, raw: RawRecord) -> None:
        """Act and commit, or neither if the partition is taken away meanwhile."""
        this_round = self._rounds
        self._acting = asyncio.create_task(self._acted(raw), name="bus.act")
        try:
            await asyncio.wait({self._acting})
        finally:
            await ended([self._acting])
        if self._acting.cancelled() or this_round != self._rounds:
            return
        self._acting.result()
        self._process.bus_measures.records.labels(raw.topic, "handled").inc()
        offsets = {TopicPartition(raw.topic, raw.partition): raw.offset + 1}
        try:
            await asyncio.wait_for(self._consumer.commit(offsets), STOP_TIMEOUT_SECONDS)
        except (KafkaError, asyncio.TimeoutError) as error:
            log.warning("not committed, may be delivered again", error=repr(error))

    async def _acted(self, raw: RawRecord) -> None:
        await self._act(raw)
