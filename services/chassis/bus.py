"""The bus: typed messages out, one delivery policy in, dead letters for what no retry can save."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Any, TypeVar, get_type_hints

from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker
from pydantic import TypeAdapter
from typing_extensions import Self

from schemas.errors import BusUnavailable, DomainError
from schemas.ids import partition_of
from schemas.messages import Message
from schemas.topics import Topic
from services.chassis.bus_letters import letters, reason_of
from services.chassis.bus_ownership import Gate, Ownership
from services.chassis.bus_permission import Permission
from services.chassis.bus_policy import Delivery, Proof
from services.chassis.bus_producer import Line
from services.chassis.bus_progress import watch_progress
from services.chassis.bus_records import (
    HOPS_HEADER,
    RawRecord,
    encoded,
    lenient,
    messaging,
    without,
)
from services.chassis.bus_security import broker_security
from services.chassis.bus_topics import make_topics
from services.chassis.endings import ended
from services.chassis.process import Process
from services.chassis.settings import Settings
from services.chassis.telemetry import StructlogAdapter, logger, span, trace_headers

H = TypeVar("H", bound=Callable[..., Awaitable[None]])

GRACEFUL_TIMEOUT_SECONDS = 5.0  # For the handler that runs when the bus stops.
MAX_POLL_INTERVAL_MS = 300_000  # Far above the longest bounded handler.
TRY_AGAIN_SECONDS = 0.5

log = logger("chassis.bus")


class Consumers:
    """The handler of one topic for one group; its assignment is the ownership of partitions.

    Without a handler the group is joined for the ownership alone, and records are passed over.
    With `proven` records at hand are committed together, once it has returned for the partition.
    """

    def __init__(
        self,
        topic: Topic,
        group: str,
        ownership: Ownership | None = None,
        *,
        proven: Proof | None = None,
    ) -> None:
        self.topic = topic
        self.group = group
        self.ownership = ownership
        self.proven = proven
        self.handler: Callable[..., Awaitable[None]] | None = None
        self.body: TypeAdapter[Any] | None = None

    def handle(self, handler: H) -> H:
        """Decorate the handler: the type of its one argument is what the bytes must be."""
        if self.handler is not None:
            raise ValueError(f"{self.topic.value} has a handler in group {self.group} already")
        hints = get_type_hints(handler, include_extras=True)
        (argument,) = (hint for name, hint in hints.items() if name != "return")
        self.handler, self.body = handler, TypeAdapter(argument)
        return handler


class Bus:
    """At least once, in order per partition, never stuck behind one bad record.

    Entered, it is connected and may publish; inside `consuming` what was attached is delivered.
    """

    def __init__(self, process: Process[Any]) -> None:
        self._process = process
        self._settings: Settings = process.settings
        self._connected = process.readiness.require("bus")
        bury = partial(self.bury, source="delivery")
        self._delivery = Delivery(process, bury=bury, forward=self.forward)
        self._gates: list[Gate] = []
        self._subscribers: list[Any] = []
        self._permission = Permission(process)
        self._line = Line(process, self._adopt)
        self._broker = KafkaBroker(
            self._settings.kafka_bootstrap_servers,
            security=broker_security(self._settings),
            consumer_only=True,  # The producer is made here, so that it can be replaced.
            allow_auto_create_topics=False,
            client_id=f"cellnode-{process.name}",
            graceful_timeout=GRACEFUL_TIMEOUT_SECONDS,
            ack_policy=AckPolicy.MANUAL,
            middlewares=(self._delivery.middleware(),),
            logger=StructlogAdapter("chassis.faststream"),
        )
        self._app = FastStream(self._broker, logger=StructlogAdapter("chassis.faststream"))

    def attach(self, consumers: Consumers) -> None:
        """One subscriber of one topic, with the policy around decoding, validation and handler."""
        counted = self._process.bus_measures.rebalances.inc
        gate = Gate(
            consumers.ownership,
            self._process.stop,
            counted,
            session_seconds=self._settings.kafka_session_timeout_ms / 1000,
        )
        self._delivery.add(consumers.topic.value, gate, consumers.proven)
        self._gates.append(gate)
        self._permission.ask(consumers.topic, consumers.group)
        subscriber = self._broker.subscriber(
            consumers.topic.value,
            group_id=consumers.group,
            ack_policy=AckPolicy.MANUAL,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=self._settings.kafka_fetch_max_wait_ms,
            session_timeout_ms=self._settings.kafka_session_timeout_ms,
            heartbeat_interval_ms=self._settings.kafka_heartbeat_ms,
            max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
            listener=gate,
            parser=lenient,
            decoder=_decoder(consumers.body),
            no_reply=True,
        )
        subscriber(consumers.handler or _passed_over)
        self._subscribers.append(subscriber)

    @asynccontextmanager
    async def consuming(self) -> AsyncIterator[None]:
        """Deliver while inside; leaving waits for the handler that runs, then leaves the group."""
        if self._permission.is_needed:
            await self._permission.given()
        for topic in self._delivery.topics:
            await self._line.until_known(topic)  # Else the consumer would give up after a while.
        await self._app.start()
        watching = [task for one in self._subscribers for task in self._watched(one)]
        if self._permission.is_needed:
            watching.append(self._process.watch(self._permission.watch(), "bus.permission"))
        try:
            yield
        finally:
            await ended(watching)
            for gate in self._gates:
                await gate.close()
            await self._app.stop()

    async def joined(self) -> None:
        """Return once every group was joined and its partitions were taken over."""
        for gate in self._gates:
            await gate.joined.wait()

    async def publish(self, message: Message) -> None:
        """Return once Kafka has acknowledged. The place picks the partition, in every topic."""
        topic = message.topic.value
        with span(f"send {topic}", told=messaging(topic, "send"), kind="producer"):
            sending = self._broker.publish(
                message.model_dump_json(by_alias=True).encode(),
                topic,
                key=message.key.encode(),
                partition=self.partition_of(message.place),
                headers=trace_headers(),
            )
            await self._line.within_deadline(sending, topic)

    async def publish_record(
        self,
        topic: Topic,
        key: str,
        value: bytes | None,
        *,
        partition: int,
        headers: Mapping[str, str] | None = None,
    ) -> int:
        """Send bytes, or a tombstone, and return the offset that Kafka acknowledged."""
        pairs = encoded({**(headers or {}), **trace_headers()})
        return await self._line.send(
            topic.value, key=key.encode(), value=value, partition=partition, headers=pairs
        )

    async def forward(self, raw: RawRecord, place: str) -> None:
        """Send a record on to the partition of its place, with its headers and its time."""
        hops = encoded({HOPS_HEADER: str(raw.hops + 1)})
        await self._line.send(
            raw.topic,
            key=place.encode(),
            value=raw.value,
            partition=self.partition_of(place),
            headers=without(raw.headers, [HOPS_HEADER]) + hops,
            timestamp_ms=raw.timestamp_ms,
        )

    async def bury(
        self, raw: RawRecord, error: Exception, attempts: int = 1, *, source: str = "table"
    ) -> None:
        """Put a record aside, byte for byte where its topic takes that, with its place and why."""
        facts = {"topic": raw.topic, "offset": raw.offset, "error": reason_of(error)}
        log.error("record buried", **facts)
        for letter in letters(raw, error, attempts):
            try:
                await self._line.send(
                    Topic.DEAD_LETTERS.value,
                    key=letter.key,
                    value=letter.value,
                    partition=raw.partition % self._settings.cellnode_partitions,
                    headers=letter.headers,
                )
                break
            except DomainError as too_large:
                log.warning("a dead letter is cut", why=str(too_large), **facts)
        else:
            raise DomainError(f"a record cannot be put aside: {facts}") from error
        self._process.bus_measures.dead_letters.labels(raw.topic, source).inc()

    def waiting(self, topic: Topic, partition: int) -> int:
        """How many records stood behind the last one that was taken up, as far as was known."""
        return self._delivery.waiting.get((topic.value, partition), 0)

    def partition_of(self, place: str) -> int:
        return partition_of(place, self._settings.cellnode_partitions)

    async def __aenter__(self) -> Self:
        self._connected.unmet("Kafka was not reached yet")
        if self._settings.cellnode_create_topics:
            await self._make_topics()
        await self._line.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._line.stop()

    def _watched(self, subscriber: Any) -> list[asyncio.Task[Any]]:
        process = self._process
        watching = watch_progress(lambda: subscriber.consumer, process.clock)
        measuring = process.bus_measures.follow_lag(lambda: subscriber.consumer, process.clock)
        return [process.watch(watching, "bus.progress"), process.watch(measuring, "bus.lag")]

    async def _make_topics(self) -> None:
        clock = self._process.clock
        while True:
            try:
                await make_topics(self._settings)
            except BusUnavailable as error:
                self._connected.unmet(str(error))
                log.warning("topics not made yet", error=str(error))
                await clock.sleep(clock.jittered(TRY_AGAIN_SECONDS))
            else:
                return

    async def _adopt(self, producer: Any) -> None:
        """Start a producer and let FastStream publish through it."""
        config = self._broker.config.broker_config
        await config.producer.connect(producer, serializer=config.fd_config._serializer)


def _decoder(body: TypeAdapter[Any] | None) -> Callable[[Any], Awaitable[Any]]:
    """Straight from bytes to the handler's type; a tombstone is no body."""

    async def decode(message: Any) -> Any:
        return message.body if body is None else body.validate_json(message.body)

    return decode


async def _passed_over(_: Any) -> None:
    """For a group that is joined for its ownership alone."""
