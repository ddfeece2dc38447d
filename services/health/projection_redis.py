"""One partition of the projection as it lies in Redis: its keys, its two scripts, its checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import NotOwner, StoreUnavailable
from schemas.projection import (
    FEED_ENTRIES_MAX,
    Change,
    ProjectedTable,
    feed_key,
    head_key,
    table_key,
)
from services.chassis.clock import Clock
from services.chassis.redis import Argument, Redis, Script, Steps
from services.health.projection_fold import TABLES, Folded

CHUNK_FIELDS = 500
ASIDE_SECONDS = 600  # An abandoned rebuild vanishes after this.
OLD_SECONDS = 60  # Readers may still be loading the incarnation that was replaced.

_HERE = Path(__file__).parent
STEP = Script((_HERE / "projection.lua").read_text())
FLIP = Script((_HERE / "projection_flip.lua").read_text())


@dataclass(frozen=True)
class Identity:
    """Whose projection it is: of two, the larger term of one log prevails."""

    term: int
    log: str


@dataclass(frozen=True)
class Step:
    """Changes that Redis takes as one, and how far the tables were folded with them."""

    changes: tuple[Change, ...]
    position: str


@dataclass(frozen=True)
class Head:
    """What of the head must be known to go on, or to replace it."""

    incarnation: str = ""
    position: str = ""
    version: int = 0


class RedisPartition:
    """Every call is one round trip or a bounded few, or raises StoreUnavailable."""

    def __init__(self, partition: int, redis: Redis, clock: Clock) -> None:
        self.partition = partition
        self._redis = redis
        self._clock = clock

    async def head(self) -> Head:
        """As it is; empty where there is none, or no hash."""
        key = head_key(self.partition)
        if await self._redis.command("TYPE", key) != b"hash":
            return Head()
        fields = await self._redis.hgetall(key)
        told = {name: value.decode(errors="replace") for name, value in fields.items()}
        version = told.get(b"version", "")
        number = int(version) if version.isascii() and version.isdigit() else 0
        return Head(told.get(b"incarnation", ""), told.get(b"position", ""), number)

    async def take(self, step: Step, head: Head, identity: Identity) -> tuple[str, list[str]]:
        """APPLIED and the version; REWIND and whose state Redis holds; or BROKEN and why."""
        arguments: list[Argument] = [
            head.incarnation,
            head.position,
            step.position,
            self._now_ms(),
            identity.term,
            identity.log,
            FEED_ENTRIES_MAX,
        ]
        for change in step.changes:
            number = TABLES.index(change.table) + 1
            arguments += [number, change.table.value, change.key, change.value]
        feed = feed_key(self.partition, head.incarnation)
        keys = [head_key(self.partition), *self._tables(head.incarnation), feed]
        return self._unfenced(await self._redis.run(STEP, keys, arguments))

    async def write_aside(self, incarnation: str, folded: Folded) -> None:
        """The tables of an incarnation that nobody reads yet."""
        for table, values in folded.items():
            key = table_key(self.partition, incarnation, table)
            pairs = list(values.items())
            for start in range(0, len(pairs), CHUNK_FIELDS):
                chunk = pairs[start : start + CHUNK_FIELDS]
                flat: list[Argument] = [part for pair in chunk for part in pair]
                steps = Steps().add("HSET", key, *flat).add("EXPIRE", key, ASIDE_SECONDS)
                await self._redis.many(steps)

    async def flip(self, old: str, new: Head, sizes: Sequence[int], identity: Identity) -> None:
        """Make what was written aside the partition; the old keys live on for a while."""
        old_keys = [*self._tables(old), feed_key(self.partition, old)] if old else []
        keys = [head_key(self.partition), *self._tables(new.incarnation), *old_keys]
        arguments: list[Argument] = [
            old,
            new.incarnation,
            new.position,
            new.version,
            self._now_ms(),
            identity.term,
            identity.log,
            OLD_SECONDS,
            len(TABLES),
            *sizes,
        ]
        status, detail = self._unfenced(await self._redis.run(FLIP, keys, arguments))
        if status != "FLIPPED":
            raise StoreUnavailable(f"Redis changed while the projection was rebuilt: {detail}")

    async def holds(
        self, incarnation: str, held: Folded, keys: Mapping[ProjectedTable, list[str]]
    ) -> bool:
        """Whether the tables have their sizes, and these keys their values."""
        steps = Steps()
        for table in TABLES:
            steps.add("HLEN", table_key(self.partition, incarnation, table))
        asked = [table for table in TABLES if keys.get(table)]
        for table in asked:
            steps.add("HMGET", table_key(self.partition, incarnation, table), *keys[table])
        try:
            answers = await self._redis.many(steps)
        except StoreUnavailable as error:
            if "WRONGTYPE" in str(error):
                return False
            raise
        values = [[held[table].get(key) for key in keys[table]] for table in asked]
        return answers == [*(len(held[table]) for table in TABLES), *values]

    def _unfenced(self, answer: object) -> tuple[str, list[str]]:
        if not isinstance(answer, list) or not answer:
            raise StoreUnavailable(f"Redis answered {answer!r} to a script")
        words = [part.decode(errors="replace") for part in answer if isinstance(part, bytes)]
        if words[0] == "FENCED":
            raise NotOwner(f"partition {self.partition} is projected under term {words[1]}")
        return words[0], words[1:]

    def _tables(self, incarnation: str) -> list[str]:
        return [table_key(self.partition, incarnation, table) for table in TABLES]

    def _now_ms(self) -> int:
        return int(self._clock.now().timestamp() * 1000)
