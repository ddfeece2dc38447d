"""Follows the projection in Redis: loads by incarnation, then the feed; silence changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.errors import StoreUnavailable
from schemas.projection import Change, ProjectedTable, feed_key, head_key, table_key
from services.chassis.clock import Clock
from services.chassis.loops import Backoff
from services.chassis.redis import FeedEntry, Fields, Redis, Steps
from services.chassis.telemetry import logger
from services.gateway.local_copy import LocalCopy, Tables
from services.gateway.measures import Measures

LOOK_SECONDS = 0.5  # How often the heads are looked at.
OLDER_STEPS_MAX = 5
ENTRIES_PER_READ_MAX = 500
BACKOFF = Backoff(first_seconds=0.05, longest_seconds=1.0)
_TABLES = (ProjectedTable.NODES, ProjectedTable.NODE_STATUSES, ProjectedTable.INSTANCE_STATUSES)

log = logger("gateway.consumers")


@dataclass(frozen=True)
class Head:
    """Where the projection of one partition stands."""

    incarnation: str
    version: int
    at_ms: float


@dataclass
class Followed:
    """Where the local copy of one partition stands."""

    incarnation: str
    version: int
    at_ms: float
    behind: int = -1  # The head's version when the copy was last seen behind it.
    older_at_ms: float = 0.0  # The last head that was written before the one we know.
    older_steps: int = 0  # How often that one has moved on since.


class Follower:
    """Keeps the local copy equal to the projection, for all partitions."""

    def __init__(
        self, redis: Redis, copy: LocalCopy, measures: Measures, *, partitions: int, clock: Clock
    ) -> None:
        self._redis = redis
        self._copy = copy
        self._measures = measures
        self._partitions = range(partitions)
        self._clock = clock
        self._followed: dict[int, Followed] = {}
        self._look_at = 0.0

    async def run(self) -> None:
        """For ever. Without Redis the local copy stays as it is."""
        failures = 0
        while True:
            try:
                await self._turn()
                failures, self._copy.trouble = 0, ""
            except StoreUnavailable as error:
                failures, self._copy.trouble = failures + 1, str(error)
                if failures == 1:
                    log.warning("projection out of reach, serving from memory", error=str(error))
                self._look_at = 0.0
                await self._clock.sleep(BACKOFF.delay_seconds(failures, self._clock))

    async def _turn(self) -> None:
        now = self._clock.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            await self._look()
        wait_seconds = max(0.0, self._look_at - self._clock.monotonic())
        if self._followed:
            await self._read_feeds(wait_seconds)
        else:
            await self._clock.sleep(min(wait_seconds, 0.1))
            self._look_at = 0.0

    # The heads, once a second.

    async def _look(self) -> None:
        steps = Steps()
        for partition in self._partitions:
            steps.add("HGETALL", head_key(partition))
        answers = await self._redis.many(steps)
        for partition, fields in zip(self._partitions, answers, strict=True):
            head = parse_head(fields)
            if head is not None:
                await self._compare(partition, head)

    async def _compare(self, partition: int, head: Head) -> None:
        known = self._followed.get(partition)
        if known is not None and is_gone_back(known, head):
            return
        if known is None or needs_reload(known, head):
            await self._load(partition, head.incarnation)
        else:
            known.at_ms = head.at_ms
            known.behind = head.version if head.version > known.version else -1
            self._confirm(partition, known)

    def _confirm(self, partition: int, known: Followed) -> None:
        """Only once the feed has brought what the head speaks of."""
        if known.behind <= known.version:
            self._copy.confirmed(partition, known.at_ms)

    async def _load(self, partition: int, incarnation: str) -> None:
        keys = [table_key(partition, incarnation, table) for table in _TABLES]
        head_fields, *hashes = await self._redis.hgetalls([head_key(partition), *keys])
        head = parse_head(head_fields)
        if head is None or head.incarnation != incarnation:
            self._look_at = 0.0  # It was rebuilt between the two looks.
            return
        tables: Tables = {
            table: {_text(key): value for key, value in fields.items()}
            for table, fields in zip(_TABLES, hashes, strict=True)
        }
        self._measures.reloads += 1
        self._copy.replace(partition, tables, head.at_ms)
        self._followed[partition] = Followed(incarnation, head.version, head.at_ms)
        log.info(
            "partition loaded", partition=partition, incarnation=incarnation, version=head.version
        )

    # The feeds.

    async def _read_feeds(self, wait_seconds: float) -> None:
        partitions = {
            feed_key(partition, known.incarnation): partition
            for partition, known in self._followed.items()
        }
        after = {
            key: f"{self._followed[partition].version}-0" for key, partition in partitions.items()
        }
        wait_seconds = max(wait_seconds, 0.001)
        read = await self._redis.xread(after, count=ENTRIES_PER_READ_MAX, wait_seconds=wait_seconds)
        for key, entries in read.items():
            await self._follow(partitions[key], entries)

    async def _follow(self, partition: int, entries: list[FeedEntry]) -> None:
        known = self._followed[partition]
        for entry in entries:
            version = int(entry.id.partition("-")[0])
            change = parse_change(entry.fields)
            if version != known.version + 1 or change is None:
                log.warning(
                    "gap in the feed", partition=partition, after=known.version, id=entry.id
                )
                await self._load(partition, known.incarnation)
                return
            self._copy.apply(partition, change)
            known.version = version
        self._confirm(partition, known)


def is_gone_back(known: Followed, head: Head) -> bool:
    """Whether this is a Redis gone back in time: whoever writes it will notice and rebuild.

    A head that is older than ours but moves on is written by a living clock that lags.
    """
    if head.at_ms >= known.at_ms:
        known.older_steps = 0
        return False
    if head.at_ms > known.older_at_ms:
        known.older_steps += 1
    known.older_at_ms = head.at_ms
    return known.older_steps <= OLDER_STEPS_MAX


def needs_reload(known: Followed, head: Head) -> bool:
    """Another life of the partition, one gone back, or entries that the feed did not bring."""
    if head.incarnation != known.incarnation or head.version < known.version:
        return True
    return known.behind > known.version


def parse_head(fields: object) -> Head | None:
    """None while there is none, or it is not whole."""
    if not isinstance(fields, Mapping):
        return None
    values = {_text(key): _text(value) for key, value in fields.items()}
    try:
        return Head(values["incarnation"], int(values["version"]), float(values.get("at", "0")))
    except (KeyError, ValueError):
        return None


def parse_change(fields: Fields) -> Change | None:
    """None when the entry is not one of ours."""
    values = {_text(key): value for key, value in fields.items()}
    try:
        table = ProjectedTable(_text(values["table"]))
        return Change(table, _text(values["key"]), values["value"])
    except (KeyError, ValueError):
        return None


def _text(value: bytes | str) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
