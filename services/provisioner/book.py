"""The book of nodes, instances and outcomes: what is recorded, and the only way to record it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter

from schemas.errors import RefusalReason
from schemas.events import (
    CommandAccepted,
    CommandRejected,
    InstanceStatusChanged,
    NodeStatusChanged,
)
from schemas.instances import FactKind, Instance
from schemas.messages import TableRecord
from schemas.nodes import Node
from schemas.topics import Topic
from services.chassis.clock import Clock
from services.chassis.tables import Batch, Tables
from services.chassis.tables_fold import Change, TableSpec
from services.chassis.tables_owner import OwnedTables
from services.chassis.telemetry import within
from services.provisioner.failures import Statuses
from services.provisioner.standing import Standing

Outcome = CommandAccepted | CommandRejected
StatusEvent = InstanceStatusChanged | NodeStatusChanged

_OUTCOME: TypeAdapter[Outcome] = TypeAdapter(Outcome)
_STATUS: TypeAdapter[StatusEvent] = TypeAdapter(StatusEvent)


def outcome_key(outcome: TableRecord) -> str:
    """By command; a refused reuse of its id stands beside it, not in its place."""
    assert isinstance(outcome, CommandAccepted | CommandRejected)
    is_reuse = (
        isinstance(outcome, CommandRejected) and outcome.reason is RefusalReason.COMMAND_ID_REUSED
    )
    return f"{outcome.command}/{outcome.digest}" if is_reuse else str(outcome.command)


WRITTEN = (Topic.OUTCOMES, Topic.NODES, Topic.INSTANCES)  # In the order of the owner's marks.
SPECS = (
    TableSpec(Topic.OUTCOMES, _OUTCOME.validate_json, outcome_key),
    TableSpec(Topic.NODES, Node.model_validate_json),
    TableSpec(Topic.INSTANCES, Instance.model_validate_json),
    TableSpec(Topic.STATUSES, _STATUS.validate_json),
)


@dataclass
class _Turn:
    """Who changes a node's record, one after another."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    takers: int = 0


class Book:
    """Nodes, instances and outcomes of the owned partitions, and the statuses that health told."""

    def __init__(
        self, tables: Tables, owned: OwnedTables, session_seconds: float, clock: Clock
    ) -> None:
        self._tables = tables
        self._owned = owned
        self._standing = Standing(tables, owned, session_seconds, clock)
        self._clock = clock
        self._instances: dict[str, dict[str, None]] = {}  # By place, in the order of arrival.
        self._places: dict[str, str] = {}  # Of instances.
        self._listeners: list[Callable[[str, str], None]] = []
        self._changing: dict[str, _Turn] = {}
        tables.listen(self._heard)

    def listen(self, listener: Callable[[str, str], None]) -> None:
        """Be told place and key of every record that changed, within what has caused it."""
        self._listeners.append(listener)

    @property
    def partitions(self) -> frozenset[int]:
        return self._owned.partitions

    def owns(self, place: str) -> bool:
        return self._owned.owns(place)

    async def sure(self, place: str) -> None:
        """Before the world is changed: return while this is the owner for certain."""
        await self._standing.sure(self._owned.partition_of(place))

    def is_complete(self, place: str) -> bool:
        """Whether nothing about this place can be missing; else nothing may be removed."""
        topics = (Topic.NODES, Topic.INSTANCES, Topic.STATUSES)
        return self._tables.is_complete([self._owned.partition_of(place)], topics)

    def places(self) -> list[str]:
        """Of all owned nodes, and of instances whose node is gone."""
        nodes = {record.place for record in self._owned.records(Topic.NODES)}
        return sorted(nodes | {place for place in self._instances if self.owns(place)})

    def count(self) -> int:
        """Of the instances on record in the owned partitions."""
        folds = [self._tables.fold(Topic.INSTANCES, number) for number in self.partitions]
        return sum(len(fold.entries) for fold in folds)

    def node(self, place: str) -> Node | None:
        record = self._owned.get(Topic.NODES, place, place)
        return record if isinstance(record, Node) else None

    def place_of(self, instance: str) -> str | None:
        return self._places.get(instance)

    def instance(self, place: str, instance: str) -> Instance | None:
        record = self._owned.get(Topic.INSTANCES, instance, place)
        return record if isinstance(record, Instance) else None

    def all_instances(self) -> list[Instance]:
        """Of all owned partitions, going ones included."""
        records = self._owned.records(Topic.INSTANCES)
        return [record for record in records if isinstance(record, Instance)]

    def instances(self, place: str) -> list[Instance]:
        known = (self.instance(place, key) for key in self._instances.get(place, ()))
        return [instance for instance in known if instance is not None]

    def statuses(self, place: str) -> Statuses:
        known = ((key, self.status(place, key)) for key in self._instances.get(place, ()))
        return {key: status for key, status in known if status is not None}

    def status(self, place: str, instance: str) -> InstanceStatusChanged | None:
        fold = self._tables.fold(Topic.STATUSES, self._owned.partition_of(place))
        entry = fold.entries.get(instance)
        record = None if entry is None else entry.record
        return record if isinstance(record, InstanceStatusChanged) else None

    def outcome(self, place: str, command: UUID, digest: str) -> Outcome | None:
        """What became of the command; of a refused reuse of its id, that refusal."""
        for key in (f"{command}/{digest}", str(command)):
            record = self._owned.get(Topic.OUTCOMES, key, place)
            if isinstance(record, CommandAccepted | CommandRejected):
                return record
        return None

    @asynccontextmanager
    async def changing(self, place: str) -> AsyncIterator[Node | None]:
        """Changes of one node's record are serial: read it here, write it inside."""
        turn = self._changing.setdefault(place, _Turn())
        turn.takers += 1
        try:
            async with turn.lock:
                yield self.node(place)
        finally:
            turn.takers -= 1
            if not turn.takers:
                del self._changing[place]

    async def put_node(self, node: Node) -> Node:
        """Inside `changing` only. Returns once Kafka has acknowledged."""
        return await self._owned.put(node, read_back=False)

    async def bury_node(self, place: str) -> None:
        """Inside `changing` only."""
        await self._owned.delete(Topic.NODES, place, place)

    async def put_outcome(self, outcome: Outcome) -> None:
        await self._owned.put(outcome, read_back=False)

    async def proven(self, partition: int) -> None:
        """Return once the outcomes written so far have won: then their offsets may be committed.

        Who takes over marks `outcomes` first, so an outcome that has won says that all that was
        written before it has won too.
        """
        await self._owned.proven(Topic.OUTCOMES, partition)

    async def put_wanted(self, instances: Sequence[Instance]) -> None:
        """Returns once all are written and read back: only then the provider may be called."""
        await asyncio.gather(*(self._owned.put(instance) for instance in instances))
        for instance in instances:
            self._index(instance.instance, instance.place)

    async def put_fact(self, instance: Instance, kind: FactKind, **changes: Any) -> Instance:
        """One more fact; an end that is on record stays the latest."""
        if kind != "InstanceDeleting" and (instance.exited or instance.deleting):
            kind = "InstanceDeleting" if instance.deleting else "InstanceExited"
        fact = instance.with_fact(kind, self._clock.now(), **changes)
        return await self._owned.put(fact, read_back=False)

    async def bury_instance(self, instance: Instance) -> None:
        await self._owned.delete(
            Topic.INSTANCES, instance.instance, instance.place, read_back=False
        )

    def index(self, partitions: frozenset[int]) -> None:
        """Know which instances belong to which node, after partitions were taken over."""
        for record in self._owned.records(Topic.INSTANCES):
            if self._owned.partition_of(record.place) in partitions:
                self._index(record.key, record.place)

    def _heard(self, batch: Batch) -> None:
        if batch.topic is Topic.OUTCOMES:
            return
        for place, change in self._touched(batch):
            with within(change.trace):
                for listener in self._listeners:
                    listener(place, change.key)

    def _touched(self, batch: Batch) -> Iterator[tuple[str, Change]]:
        for change in batch.changes:
            record = change.record
            if batch.topic is Topic.INSTANCES and record is not None:
                self._index(change.key, record.place)
            place = self._place_of(batch.topic, change.key) if record is None else record.place
            if batch.topic is Topic.INSTANCES and record is None:
                self._unindex(change.key)
            if place is not None:
                yield place, change

    def _place_of(self, topic: Topic, key: str) -> str | None:
        return key if topic is Topic.NODES else self._places.get(key)

    def _index(self, instance: str, place: str) -> None:
        self._places[instance] = place
        self._instances.setdefault(place, {})[instance] = None

    def _unindex(self, instance: str) -> None:
        place = self._places.pop(instance, None)
        if place is not None:
            self._instances[place].pop(instance, None)
            if not self._instances[place]:
                del self._instances[place]
