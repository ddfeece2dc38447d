"""Know the present status of everything from one topic: bare Kafka and JSON, nothing of ours.

    python examples/follow_statuses.py 127.0.0.1:9092                 a table that stays current
    python examples/follow_statuses.py 127.0.0.1:9092 --once --json   what is there now, then end

It joins no group, so it never rebalances: it reads every partition from the first offset there is.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from itertools import chain
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

TOPIC = "cellnode.statuses"
KINDS = ("NodeStatusChanged", "InstanceStatusChanged")  # Others may come one day: pass them over.
CLEAR = "\x1b[H\x1b[J"
Order = tuple[int, int]


class Statuses:
    """The newest record of each key, however late, repeated or stale others come."""

    def __init__(self) -> None:
        self.present: dict[str, dict[str, Any]] = {}
        self._known: dict[str, tuple[Order, int, int]] = {}  # Order, partition, offset; gone too.
        self._marks: dict[int, tuple[int, str, int]] = {}  # Of a partition: term, owner, offset.

    def hear(self, record: Any) -> None:
        """One record of the topic, as a Kafka client gives it."""
        key = (record.key or b"").decode(errors="replace")
        try:
            value = None if record.value is None else dict(json.loads(record.value))
        except (TypeError, ValueError):
            return  # Nothing of cellnode's.
        kind = None if value is None else value.get("kind")
        if value is not None and kind == "Owner":
            self._owned(record, value)
        elif value is not None and kind == "Complete":
            self._completed(record.partition, value)
        elif value is None or kind in KINDS:
            self._told(key, value, record)

    def _owned(self, record: Any, mark: dict[str, Any]) -> None:
        """Somebody has taken the partition over: from here on smaller terms lose."""
        term, owner, _ = self._marks.get(record.partition, (0, "", 0))
        if mark["term"] > term or (mark["term"], mark["owner"]) == (term, owner):
            self._marks[record.partition] = (mark["term"], mark["owner"], record.offset)

    def _completed(self, partition: int, mark: dict[str, Any]) -> None:
        """All keys were written anew since the owner's mark: what was not is gone."""
        term, _, since = self._marks.get(partition, (0, "", 0))
        if mark["term"] == term:
            for key, (_, lies_in, offset) in list(self._known.items()):
                if lies_in == partition and offset < since:
                    self.present.pop(key, None)

    def _told(self, key: str, value: dict[str, Any] | None, record: Any) -> None:
        order = order_of(value, dict(record.headers))
        newest = self._known.get(key, ((-1, -1), 0, 0))[0]
        term = self._marks.get(record.partition, (0, "", 0))[0]
        if order[0] < term or order <= newest:
            return  # Written late by a former owner, or heard before.
        self._known[key] = (order, record.partition, record.offset)
        if value is None:
            self.present.pop(key, None)
        else:
            self.present[key] = value


def order_of(value: dict[str, Any] | None, headers: dict[str, bytes]) -> Order:
    """Of two records of one key the larger wins; a tombstone has it in its headers alone."""
    told = value or {}
    term = headers.get("cellnode-term") or told.get("term", 0)
    return int(term), int(headers.get("cellnode-seq") or told.get("seq", 0))


def table(present: dict[str, dict[str, Any]]) -> str:
    lines = [f"{'':<44} {'status':<10} {'reason':<20} since"]
    for key, told in sorted(present.items(), key=lambda one: (one[1]["node"], "/" not in one[0])):
        name = key if "/" in key else f"  {key}"
        lines.append(f"{name:<44} {told['status']:<10} {told['reason']:<20} {told['since']}")
    return "\n".join(lines)


async def follow(kafka: str, *, is_once: bool, is_json: bool) -> None:
    consumer = AIOKafkaConsumer(TOPIC, bootstrap_servers=kafka, auto_offset_reset="earliest")
    try:
        await consumer.start()
        await show(consumer, is_once=is_once, is_json=is_json)
    finally:
        await consumer.stop()


async def show(consumer: AIOKafkaConsumer, *, is_once: bool, is_json: bool) -> None:
    statuses, shown = Statuses(), ""
    ends = await consumer.end_offsets(consumer.assignment())
    while True:
        batches = await consumer.getmany(timeout_ms=200)
        for record in chain.from_iterable(batches.values()):
            statuses.hear(record)
        if any([await consumer.position(place) < end for place, end in ends.items()]):
            continue  # Until it is read, what is gone by now may still seem to be there.
        present = statuses.present
        told = json.dumps(present, indent=2) if is_json else table(present)
        if told != shown:
            print(f"{CLEAR if sys.stdout.isatty() else ''}{told}", flush=True)
            shown = told
        if is_once:
            return


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kafka", help="host:port")
    parser.add_argument("--once", action="store_true", help="print what is there now, then end")
    parser.add_argument("--json", action="store_true", help="whole records instead of a table")
    given = parser.parse_args()
    try:
        asyncio.run(follow(given.kafka, is_once=given.once, is_json=given.json))
    except KafkaError as error:
        sys.exit(
            f"{given.kafka} cannot be read: {error}. Is Kafka there? It is given as host:port."
        )
    except KeyboardInterrupt:
        sys.exit(130)
