"""Reads of the projection in Redis: few round trips, a deadline, and never "empty" for "lost"."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Container, Iterable, Sequence
from contextlib import asynccontextmanager

from schemas.errors import StoreUnavailable
from schemas.ids import partition_of
from schemas.projection import ProjectedTable, head_key, table_key
from services.api.records import NodeRecords, instance_keys, node_record, prefix_of, prefix_of_key
from services.chassis.redis import Argument, Redis, Steps

TRIES_MAX = 4  # A rebuild between two looks begins anew.
TIMEOUTS_PER_READ = 2  # A read of several round trips may take so many of one's deadline.
READS_MAX = 32  # At one moment; the others wait, within their deadline.
KEYS_ASKED_MAX = 2_000  # Above this the partition tells which keys there are.
NODES_AT_ONCE = 100  # Read with all their instances in one go.

Asked = dict[int, list[tuple[str, ...]]]  # By partition: a verb, a table, and what else it takes.

NODES, STATUSES, INSTANCES = (
    ProjectedTable.NODES.value,
    ProjectedTable.NODE_STATUSES.value,
    ProjectedTable.INSTANCE_STATUSES.value,
)


class _Moved(Exception):
    """The partition is another incarnation than was thought."""


class Projection:
    """What the projection shows now. Raises StoreUnavailable where it cannot be told."""

    def __init__(self, redis: Redis, partitions: int, *, timeout_seconds: float) -> None:
        self._redis = redis
        self._partitions = partitions
        self._seconds = timeout_seconds * TIMEOUTS_PER_READ
        self._incarnations: dict[int, str] = {}
        self._reading = asyncio.Semaphore(READS_MAX)

    async def check(self) -> None:
        """Return if every partition can be read."""
        async with self._bounded():
            self._incarnations.clear()
            await self._look(range(self._partitions))

    async def node(self, place: str) -> NodeRecords | None:
        """One node with its status and instances; None if there is no such node."""
        async with self._bounded():
            found = await self._records(partition_of(place, self._partitions), [place])
        return found[0] if found else None

    async def names(self, project: str) -> list[str]:
        """Of all nodes of a project, sorted."""
        prefix = f"{project}/"
        places = await self.places()
        return sorted(one.removeprefix(prefix) for one in places if one.startswith(prefix))

    async def places(self) -> list[str]:
        """`project/name` of all nodes of all projects."""
        asked: Asked = {n: [("HKEYS", NODES)] for n in range(self._partitions)}
        async with self._bounded():
            answers = await self._tried(asked)
        return [key.decode() for [keys] in answers.values() for key in _listed(keys)]

    async def nodes(self, places: Sequence[str]) -> AsyncIterator[NodeRecords]:
        """Those that there are, in the order given, read some at a time."""
        for start in range(0, len(places), NODES_AT_ONCE):
            some = places[start : start + NODES_AT_ONCE]
            async with self._bounded():
                found = await self._some(some)
            for place in some:
                if place in found:
                    yield found[place]
                    await asyncio.sleep(0)  # What is made of it takes a while; others have a turn.

    async def _some(self, places: Iterable[str]) -> dict[str, NodeRecords]:
        by_partition: dict[int, list[str]] = {}
        for place in places:
            by_partition.setdefault(partition_of(place, self._partitions), []).append(place)
        found: dict[str, NodeRecords] = {}
        for partition, some in by_partition.items():
            found.update({one.place: one for one in await self._records(partition, some)})
        return found

    async def _records(self, partition: int, places: Sequence[str]) -> list[NodeRecords]:
        """In a few round trips: nodes with their statuses, then the instances they can have."""
        asked: Asked = {partition: [("HMGET", NODES, *places), ("HMGET", STATUSES, *places)]}
        [[values, statuses]] = (await self._tried(asked)).values()
        pairs = zip(places, _listed(values), _listed(statuses), strict=True)
        found = [node_record(*pair) for pair in pairs if pair[1] is not None]
        known = {prefix_of(one.node): one for one in found}
        nodes = [one.node for one in known.values()]
        if sum(node.next_n for node in nodes) > KEYS_ASKED_MAX:
            keys = await self._keys_there(partition, known)
        else:
            keys = [key for node in nodes for key in instance_keys(node)]
        for key, value in (await self._instances(partition, keys)).items():
            known[prefix_of_key(key)].values[key] = value
        return list(known.values())

    async def _keys_there(self, partition: int, prefixes: Container[str]) -> list[str]:
        """A node that lived long could have had very many."""
        [[keys]] = (await self._tried({partition: [("HKEYS", INSTANCES)]})).values()
        there = (key.decode() for key in _listed(keys))
        return [key for key in there if prefix_of_key(key) in prefixes]

    async def _instances(self, partition: int, keys: Sequence[str]) -> dict[str, bytes]:
        if not keys:
            return {}
        [[values]] = (await self._tried({partition: [("HMGET", INSTANCES, *keys)]})).values()
        pairs = zip(keys, _listed(values), strict=True)
        return {key: value for key, value in pairs if value is not None}

    async def _tried(self, asked: Asked) -> dict[int, list[object]]:
        """Answers that are known to be of a living incarnation, by partition."""
        for _ in range(TRIES_MAX):
            try:
                await self._look([n for n in asked if n not in self._incarnations])
                return await self._asked(asked)
            except _Moved:
                continue
        raise StoreUnavailable("the projection is being rebuilt")

    async def _asked(self, asked: Asked) -> dict[int, list[object]]:
        """In one round trip; the heads are looked at last, so what came before was theirs."""
        steps = Steps()
        incarnations = {n: self._incarnations.get(n, "") for n in asked}
        for partition, commands in asked.items():
            for verb, table, *rest in commands:
                key = table_key(partition, incarnations[partition], ProjectedTable(table))
                arguments: list[Argument] = [*rest]
                steps.add(verb, key, *arguments)
            steps.add("HGET", head_key(partition), "incarnation")
        answers = iter(await self._redis.many(steps))
        told: dict[int, list[object]] = {}
        for partition, commands in asked.items():
            told[partition] = [next(answers) for _ in commands]
            if _text(next(answers)) != incarnations[partition]:
                self._incarnations.pop(partition, None)
                raise _Moved
        return told

    async def _look(self, partitions: Iterable[int]) -> None:
        numbers = list(partitions)
        if not numbers:
            return
        steps = Steps()
        for number in numbers:
            steps.add("HGET", head_key(number), "incarnation")
        for number, answer in zip(numbers, await self._redis.many(steps), strict=True):
            incarnation = _text(answer)
            if not incarnation:
                raise StoreUnavailable(f"partition {number} is not projected yet")
            self._incarnations[number] = incarnation

    @asynccontextmanager
    async def _bounded(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._seconds), self._reading:
                yield
        except TimeoutError:
            raise StoreUnavailable(f"Redis did not answer within {self._seconds:g} s") from None


def _listed(answer: object) -> list[bytes]:
    if not isinstance(answer, list):
        raise StoreUnavailable(f"Redis answered {answer!r} to a question for a list")
    return answer


def _text(answer: object) -> str:
    return answer.decode(errors="replace") if isinstance(answer, bytes) else ""
