"""The journal's own way to the embedded broker: whole cuts out of it, records into it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from confluent_kafka import (
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]
from typing_extensions import Self

from schemas.topics import Topic
from services.chassis.bus_records import RawRecord
from services.chassis.telemetry import logger
from services.embedded.journal_records import decided
from services.embedded.journal_state import TOPICS

DECIDER_GROUP = "cellnode-provisioner"  # What it has committed of `commands` is decided.
FETCH_WAIT_MS = 20  # The embedded broker hears a waiting reader late.
ASK_SECONDS_MAX = 10.0
CUT_SECONDS_MAX = 30.0
PUBLISH_SECONDS_MAX = 30.0
RECORDS_MAX = 10_000
WAIT_SECONDS = 0.03  # What comes within it is written together.
WAIT_SECONDS_SHORT = 0.005  # For records that are known to be there.
_ERRORS_ONLY = 3

Place = tuple[str, int]

log = logger("embedded.journal")


class BrokerSilent(RuntimeError):
    """The broker in this very process does not answer in time."""


@dataclass(frozen=True)
class Cut:
    """All that was acknowledged up to one moment, and how far commands were decided before it."""

    records: tuple[RawRecord, ...]
    decided: tuple[RawRecord, ...]


class JournalBus:
    """Reads every partition from its start on. One thread uses it."""

    def __init__(self, address: str, partitions: int) -> None:
        self._options: dict[str, Any] = {"bootstrap.servers": address, "log_level": _ERRORS_ONLY}
        self._places = [(topic, number) for topic in TOPICS for number in range(partitions)]
        self._commands = [TopicPartition(Topic.COMMANDS.value, n) for n in range(partitions)]
        self._positions: dict[Place, int] = dict.fromkeys(self._places, 0)
        self._held: list[RawRecord] = []  # Read already, but after the last cut.
        self._admin = AdminClient(self._options)
        self._consumer = Consumer(
            {
                **self._options,
                "group.id": "cellnode-journal",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": FETCH_WAIT_MS,
            }
        )

    def __enter__(self) -> Self:
        self._consumer.assign([TopicPartition(*place, 0) for place in self._places])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._consumer.close()

    def has_news(self) -> bool:
        """Wait for a moment; whether there is something to cut."""
        self._read(WAIT_SECONDS)
        return bool(self._held)

    def cut(self) -> Cut:
        """First what is decided, then the ends of all logs at once: no effect without its cause."""
        marks, ends = self._decided(), self._ends()
        deadline = time.monotonic() + CUT_SECONDS_MAX
        while any(self._positions[place] < end for place, end in ends.items()):
            if time.monotonic() > deadline:
                raise BrokerSilent(f"records could not be read in {CUT_SECONDS_MAX:g} s")
            self._read(WAIT_SECONDS_SHORT)
        whole = [one for one in self._held if one.offset < ends[one.topic, one.partition]]
        self._held = [one for one in self._held if one.offset >= ends[one.topic, one.partition]]
        return Cut(tuple(whole), tuple(marks))

    def publish(self, records: Iterable[RawRecord]) -> None:
        """Return once all are acknowledged."""
        failures: list[KafkaError] = []
        producer = Producer({**self._options, "acks": "all", "linger.ms": 5})
        for record in records:
            _produce(producer, record, failures)
        left = producer.flush(PUBLISH_SECONDS_MAX)
        if left or failures:
            raise BrokerSilent(f"{left} records were not taken, {len(failures)} refused")

    def _read(self, seconds: float) -> None:
        for message in self._consumer.consume(RECORDS_MAX, timeout=seconds):
            if (error := message.error()) is not None:
                log.warning("the journal's reader is troubled", error=str(error))
                continue
            raw = _raw(message)
            place = raw.topic, raw.partition
            if raw.offset > self._positions[place]:
                missed = raw.offset - self._positions[place]
                log.error("the broker forgot records", topic=raw.topic, missed=missed)
            self._positions[place] = raw.offset + 1
            self._held.append(raw)

    def _decided(self) -> list[RawRecord]:
        group = ConsumerGroupTopicPartitions(DECIDER_GROUP, self._commands)
        asked = self._admin.list_consumer_group_offsets([group], request_timeout=ASK_SECONDS_MAX)
        found = _answer(asked[DECIDER_GROUP]).topic_partitions
        return [decided(one.partition, one.offset) for one in found if one.offset > 0]

    def _ends(self) -> Mapping[Place, int]:
        latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        wanted = {TopicPartition(*place): latest for place in self._places}
        asked = self._admin.list_offsets(wanted, request_timeout=ASK_SECONDS_MAX)
        return {(one.topic, one.partition): _answer(end).offset for one, end in asked.items()}


def _answer(future: Any) -> Any:
    try:
        return future.result(ASK_SECONDS_MAX)
    except (KafkaException, TimeoutError) as error:
        raise BrokerSilent(f"the broker does not tell offsets: {error!r}") from None


def _produce(producer: Any, record: RawRecord, failures: list[KafkaError]) -> None:
    def told(error: KafkaError | None, _: Any) -> None:
        if error is not None:
            failures.append(error)

    stamp = {} if record.timestamp_ms is None else {"timestamp": record.timestamp_ms}
    while True:
        try:
            producer.produce(
                record.topic,
                value=record.value,
                key=record.key,
                partition=record.partition,
                headers=list(record.headers),
                on_delivery=told,
                **stamp,
            )
        except BufferError:
            producer.poll(WAIT_SECONDS)  # Its queue is full: let some go first.
        else:
            return


def _raw(message: Any) -> RawRecord:
    kind, milliseconds = message.timestamp()
    return RawRecord(
        topic=message.topic(),
        partition=message.partition(),
        offset=message.offset(),
        key=message.key(),
        value=message.value(),
        headers=tuple(message.headers() or ()),
        timestamp_ms=milliseconds if kind else None,
    )
