"""What an outside consumer sees: every record of the topics, and the fold by (term, seq)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

from schemas.messages import SEQ_HEADER, TERM_HEADER
from schemas.tables import OWNER_KEY, wins

MARK = "~"
RECORDS_AT_ONCE = 2_000
POLL_SECONDS = 0.2
JOIN_SECONDS_MAX = 10.0

Order = tuple[int, int]


@dataclass(frozen=True)
class Record:
    """One record as it lies on the bus."""

    key: str
    value: bytes | None
    headers: dict[str, str]
    at: float  # Seconds since the epoch, by its producer's clock.

    @property
    def body(self) -> Any:
        """Parsed; None of a tombstone."""
        return None if self.value is None else json.loads(self.value)


class Reader:
    """Reads topics from their start, all partitions, in a thread; without a group."""

    def __init__(self, kafka: str, topics: Iterable[str], partitions: int) -> None:
        self._places = [(topic, number) for topic in topics for number in range(partitions)]
        self._records: dict[tuple[str, int], list[Record]] = {place: [] for place in self._places}
        self._stopping = threading.Event()
        self._kafka = kafka
        self._thread = threading.Thread(target=self._run, name="reader", daemon=True)

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(JOIN_SECONDS_MAX)

    def of(self, topic: str) -> list[list[Record]]:
        """All records so far, partition by partition, each in the order of its log."""
        return [list(self._records[place]) for place in self._places if place[0] == topic]

    def _run(self) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self._kafka,
                "group.id": "outside",  # Never joined: partitions are assigned by hand.
                "enable.auto.commit": False,
                "reconnect.backoff.max.ms": 1000,
                "log_level": 0,
            }
        )
        consumer.assign([TopicPartition(*place, OFFSET_BEGINNING) for place in self._places])
        while not self._stopping.is_set():
            for message in consumer.consume(RECORDS_AT_ONCE, POLL_SECONDS):
                if message.error() is None:
                    place = (str(message.topic()), int(message.partition() or 0))
                    self._records[place].append(_record(message))
        consumer.close()


def _record(message: Any) -> Record:
    headers = {name: (value or b"").decode() for name, value in message.headers() or ()}
    key = (message.key() or b"").decode()
    return Record(key, message.value(), headers, message.timestamp()[1] / 1000)


def winning(records: Iterable[Record]) -> Iterator[Record]:
    """Those of one partition of a table that win, marks left out: what a reader may believe."""
    term, known = 0, dict[str, Order]()
    for record in records:
        if record.key.startswith(MARK):
            if record.key == OWNER_KEY:
                term = max(term, record.body["term"])
            continue
        order = _order(record)
        if wins(order, known.get(record.key), term):
            known[record.key] = order
            yield record


def winning_outcomes(records: Iterable[Record]) -> Iterator[Record]:
    """Outcomes are a log, not a table: only those of a former owner lose."""
    term = 0
    for record in records:
        if record.key == OWNER_KEY:
            term = max(term, record.body["term"])
        elif not record.key.startswith(MARK) and _order(record)[0] >= term:
            yield record


def folded(partitions: Iterable[Iterable[Record]]) -> dict[str, Record]:
    """The last winning record of every key that is not buried."""
    last = {one.key: one for records in partitions for one in winning(records)}
    return {key: one for key, one in last.items() if one.value is not None}


def _order(record: Record) -> Order:
    return int(record.headers.get(TERM_HEADER, 0)), int(record.headers.get(SEQ_HEADER, 0))
