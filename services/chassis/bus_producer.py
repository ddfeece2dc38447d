"""The one idempotent producer of a process: every send has a deadline, a broken one is replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    OutOfOrderSequenceNumber,
    ProducerClosed,
    ProducerFenced,
    UnknownProducerId,
)

from schemas.errors import BusUnavailable, DomainError
from services.chassis.bus_records import HeaderPairs
from services.chassis.bus_security import client_options, refusal, why_not
from services.chassis.endings import ended
from services.chassis.process import Process
from services.chassis.settings import Settings
from services.chassis.telemetry import logger

RECORD_BYTES_MAX = 1_000_000  # Below the brokers' default, with room for headers.
BATCH_BYTES_MAX = 512 * 1024  # Small ones make thousands of sends at once wait for one another.
FAILURES_BEFORE_REPLACED = 3  # Sends in a row that missed their deadline.
START_TIMEOUT_SECONDS = 10.0
REACHED = "Kafka was reached"
STOP_TIMEOUT_SECONDS = 3.0
ASK_SECONDS = 3.0  # Whether there is a topic.
TRY_AGAIN_SECONDS = 0.5
_BROKEN = (OutOfOrderSequenceNumber, UnknownProducerId, ProducerFenced, ProducerClosed)

log = logger("chassis.bus")


class Line:
    """A producer that can always be replaced; `adopt` is told of each new one."""

    def __init__(
        self,
        process: Process[Any],
        adopt: Callable[[Any], Awaitable[None]],
    ) -> None:
        self._settings: Settings = process.settings
        self._client_id = f"cellnode-{process.name}"
        self._clock = process.clock
        self._connected = process.readiness.require("bus")
        self._adopt = adopt
        self._measures = process.bus_measures
        self._producer: Any = None
        self._failures = 0
        self._replacing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect, trying until Kafka answers; the caller may cancel."""
        while True:
            if await self._try_start(self._made()):
                return
            await self._clock.sleep(self._clock.jittered(TRY_AGAIN_SECONDS))

    async def _try_start(self, producer: Any) -> bool:
        is_started = False
        try:
            await asyncio.wait_for(self._adopt(producer), START_TIMEOUT_SECONDS)
            is_started = True
        except (KafkaError, asyncio.TimeoutError) as error:
            why = refusal(error) or await why_not(self._settings) or repr(error)
            self._connected.unmet(why)
            log.warning("Kafka does not answer", error=why)
        finally:
            if not is_started:  # Cancelled as well.
                await _closed(producer)
        if is_started:
            self._producer = producer
            self._connected.met(REACHED)
        return is_started

    async def until_known(self, topic: str) -> None:
        """Return once Kafka has the topic, which somebody else makes; the caller may cancel."""
        while not await self._knows(topic):
            self._connected.unmet(f"Kafka has no topic {topic}; make it, or let it be made here")
            log.warning("a topic is missing", topic=topic)
            await self._clock.sleep(self._clock.jittered(TRY_AGAIN_SECONDS))
        self._connected.met(REACHED)

    async def _knows(self, topic: str) -> bool:
        try:
            return bool(await asyncio.wait_for(self._producer.partitions_for(topic), ASK_SECONDS))
        except (KafkaError, asyncio.TimeoutError):
            return False

    async def stop(self) -> None:
        if self._replacing is not None:
            await ended([self._replacing])
        if self._producer is not None:
            await _closed(self._producer)

    async def send(
        self,
        topic: str,
        *,
        key: bytes | None,
        value: bytes | None,
        partition: int,
        headers: HeaderPairs,
        timestamp_ms: int | None = None,
    ) -> int:
        """Send bytes; the offset, once all in-sync brokers have them."""
        if len(value or b"") + len(key or b"") > RECORD_BYTES_MAX:
            size = len(value or b"")
            raise DomainError(f"a record of {size} bytes is larger than {RECORD_BYTES_MAX}")

        async def sent() -> Any:
            future = await self._producer.send(
                topic,
                key=key,
                value=value,
                partition=partition,
                headers=list(headers),
                timestamp_ms=timestamp_ms,
            )
            return await future

        metadata = await self.within_deadline(sent(), topic)
        if metadata.offset < 0:
            raise BusUnavailable(f"{topic}: acknowledged without saying where the record lies")
        return int(metadata.offset)

    async def within_deadline(self, sending: Awaitable[Any], topic: str) -> Any:
        """Await a send. BusUnavailable means not acknowledged, which is not: not written."""
        try:
            answer = await asyncio.wait_for(sending, self._settings.send_timeout_seconds)
        except MessageSizeTooLargeError as error:
            raise DomainError(f"{topic}: {error}") from error
        except (KafkaError, asyncio.TimeoutError) as error:
            if refused := refusal(error):
                self._connected.unmet(f"{topic}: {refused}")
            self._failed(error)
            raise BusUnavailable(f"{topic}: {type(error).__name__}: {error}") from error
        self._failures = 0
        if not self._connected.is_met:
            self._connected.met(REACHED)
        return answer

    def _failed(self, error: BaseException) -> None:
        self._failures += 1
        self._measures.failures.inc()
        is_broken = isinstance(error, _BROKEN) or self._failures >= FAILURES_BEFORE_REPLACED
        if is_broken and (self._replacing is None or self._replacing.done()):
            self._measures.replacements.inc()
            log.warning("producer is replaced", error=repr(error), failures=self._failures)
            self._replacing = asyncio.create_task(self._replace(), name="bus.replace")

    async def _replace(self) -> None:
        old = self._producer
        await self.start()
        self._failures = 0
        await _closed(old)

    def _made(self) -> Any:
        return AIOKafkaProducer(
            **client_options(self._settings),
            client_id=self._client_id,
            acks="all",
            enable_idempotence=True,
            request_timeout_ms=int(self._settings.send_timeout_seconds * 1000),
            max_batch_size=BATCH_BYTES_MAX,
        )


async def _closed(producer: Any) -> None:
    """Close for good, but do not wait for records that Kafka does not take."""
    try:
        await asyncio.wait_for(producer.stop(), STOP_TIMEOUT_SECONDS)
    except (KafkaError, asyncio.TimeoutError) as error:
        log.warning("producer did not close in time", error=repr(error))
