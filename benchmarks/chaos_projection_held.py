"""All that Redis holds, against the fold of the topics: byte for byte, partition by partition."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition

from benchmarks.chaos_reading import Reader, folded
from schemas.projection import PREFIX, ProjectedTable, feed_key, head_key, table_key
from schemas.topics import Topic

PROJECTED = (Topic.NODES, Topic.ALIASES, Topic.STATUSES)
ANSWER_SECONDS_MAX = 10.0
PAUSE_SECONDS = 0.05
NEVER = -1  # What Redis says of a key that does not expire.

Tables = dict[ProjectedTable, dict[bytes, bytes]]


class Held:
    """Looks into Redis and at the topics, from outside, with nothing of health's."""

    def __init__(self, kafka: str, redis_url: str, reader: Reader, *, partitions: int) -> None:
        from redis import Redis
        from redis.exceptions import RedisError

        self._lost = (RedisError, KafkaException)
        self._client: Any = Redis.from_url(redis_url, socket_timeout=ANSWER_SECONDS_MAX)
        self._ends = Consumer({"bootstrap.servers": kafka, "group.id": "outside", "log_level": 0})
        self._reader = reader
        self._partitions = range(partitions)

    def close(self) -> None:
        self._client.close()
        self._ends.close()

    def correct_after(self, begun: float, seconds_max: float) -> tuple[float, list[str]]:
        """Seconds from `begun` until all was folded in, and what differed then.

        What differs has the rest of the time to become right.
        """
        reached, differences = seconds_max, ["nothing was folded in yet"]
        while time.monotonic() - begun < seconds_max:
            if not self.has_reached_the_end():
                time.sleep(PAUSE_SECONDS)
                continue
            reached = time.monotonic() - begun
            differences = self.differences()
            if not differences and self.has_reached_the_end():
                break
        return reached, differences

    def has_reached_the_end(self) -> bool:
        """Whether every partition's position is behind the last record of each of its topics."""
        try:
            return all(self._is_at_the_end(number) for number in self._partitions)
        except self._lost:
            return False

    def differences(self) -> list[str]:
        """Keys of Redis that are missing, too many, or not what the topics say."""
        logs = {topic: self._reader.of(topic.value) for topic in PROJECTED}
        try:
            found, keys = list[str](), set[bytes]()
            for number in self._partitions:
                should = _should_hold({topic: logs[topic][number] for topic in PROJECTED})
                found += self._of_partition(number, should, keys)
            return found + [f"{key!r} is nobody's" for key in self._nobodys(keys)]
        except self._lost as error:
            return [repr(error)]

    def _is_at_the_end(self, number: int) -> bool:
        told = json.loads(self._client.hget(head_key(number), "position") or b"{}")
        for topic in PROJECTED:
            place = TopicPartition(topic.value, number)
            _, end = self._ends.get_watermark_offsets(place, timeout=ANSWER_SECONDS_MAX)
            read = len(self._reader.of(topic.value)[number])
            if (told.get(topic.value) or ["", -1])[1] != end or read != end:
                return False
        return True

    def _of_partition(self, number: int, should: Tables, keys: set[bytes]) -> Iterator[str]:
        incarnation = (self._client.hget(head_key(number), "incarnation") or b"").decode()
        own = [table_key(number, incarnation, table) for table in ProjectedTable]
        keys |= {key.encode() for key in (head_key(number), feed_key(number, incarnation), *own)}
        for table in ProjectedTable:
            has = self._client.hgetall(table_key(number, incarnation, table))
            for key in sorted(has.keys() | should[table].keys()):
                if has.get(key) != should[table].get(key):
                    yield f"partition {number} {table.value} {key.decode()}"

    def _nobodys(self, keys: set[bytes]) -> list[bytes]:
        """Keys of no present incarnation that will not vanish by themselves."""
        others = [key for key in self._client.scan_iter(f"{PREFIX}:*", count=1000)]
        return [key for key in others if key not in keys and self._client.ttl(key) == NEVER]


def _should_hold(logs: dict[Topic, Any]) -> Tables:
    """The tables of one partition, from its three logs."""
    tables: Tables = {table: {} for table in ProjectedTable}
    for topic, log in logs.items():
        for key, record in folded([log]).items():
            tables[_table(topic, key)][key.encode()] = record.value or b""
    return tables


def _table(topic: Topic, key: str) -> ProjectedTable:
    if topic is Topic.STATUSES:
        return ProjectedTable.NODE_STATUSES if "/" in key else ProjectedTable.INSTANCE_STATUSES
    return ProjectedTable.NODES if topic is Topic.NODES else ProjectedTable.ALIASES
