"""An outside producer of commands: librdkafka with each of its ways to pick a partition."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from confluent_kafka import KafkaError, Message, Producer

from benchmarks.chaos_schedule import PARTITIONERS, Planned

TOPIC = "cellnode.commands"
PROJECT = "default"
FLUSH_SECONDS_MAX = 60.0
TRIES_MAX = 5
# `consistent_random` is librdkafka's own default: CRC32 of the key, or any where there is none.
SETTINGS = {"murmur2": "murmur2_random", "librdkafka": "consistent_random", "none": "random"}


class Outside:
    """Sends what it is given; knows what Kafka has acknowledged, and what must be sent again.

    As most programs do it, without idempotence: what is sent twice has the same id.
    """

    def __init__(self, kafka: str) -> None:
        self.acknowledged: list[Planned] = []
        self.again: list[Planned] = []
        self._producers = {name: Producer(_settings(kafka, name)) for name in PARTITIONERS}

    def send(self, planned: Planned) -> None:
        key = f"{PROJECT}/{planned.body['node']}".encode()

        def told(error: KafkaError | None, message: Message) -> None:
            if error is None and message.offset() is not None:
                self.acknowledged.append(planned)
            else:  # An acknowledgement that cannot say where the record lies is none.
                self.again.append(planned)

        producer = self._producers[planned.partitioner]
        producer.produce(
            TOPIC,
            json.dumps(planned.body).encode(),
            key=None if planned.partitioner == "none" else key,
            on_delivery=told,
        )
        producer.poll(0)

    def flush(self) -> int:
        """Send again what was not acknowledged; how many are still not after a while."""
        left = 0
        for _ in range(TRIES_MAX):
            left = sum(one.flush(FLUSH_SECONDS_MAX) for one in self._producers.values())
            failed, self.again = self.again, []
            if not failed:
                return left
            for planned in failed:
                self.send(planned)
        return left + len(self.again)


@contextmanager
def sending(outside: Outside, commands: Iterable[Planned], per_second: float) -> Iterator[None]:
    """At a steady rate in a thread of its own; left when all of them are sent."""
    thread = threading.Thread(
        target=_send_all, args=(outside, commands, per_second), name="outside", daemon=True
    )
    thread.start()
    yield
    thread.join()


def _send_all(outside: Outside, commands: Iterable[Planned], per_second: float) -> None:
    begun = time.monotonic()
    for number, planned in enumerate(commands):
        wait = begun + number / per_second - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        outside.send(planned)


def _settings(kafka: str, partitioner: str) -> dict[str, Any]:
    return {
        "bootstrap.servers": kafka,
        "partitioner": SETTINGS[partitioner],
        "acks": "all",
        "linger.ms": 5,
        "sticky.partitioning.linger.ms": 0,  # Without a key each record goes its own way.
        "reconnect.backoff.max.ms": 1000,
        "log_level": 0,
    }
