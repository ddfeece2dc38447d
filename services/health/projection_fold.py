"""What the projection must equal: the tables of one partition, folded. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from schemas.ids import canonical_json
from schemas.projection import Change, ProjectedTable
from schemas.topics import Topic
from services.chassis.tables import Position
from services.chassis.tables_fold import Change as Told
from services.chassis.tables_fold import Entry

TOPICS = (Topic.NODES, Topic.ALIASES, Topic.STATUSES)
TABLES = tuple(ProjectedTable)

Folded = dict[ProjectedTable, dict[str, bytes]]


class Readable(Protocol):
    """What is read of the tables."""

    def items(self, topic: Topic, partition: int | None = None) -> Iterator[tuple[str, Entry]]: ...

    def position(self, topic: Topic, partition: int) -> Position: ...


def table_of(topic: Topic, key: str) -> ProjectedTable:
    """Keys of nodes are `project/name`; an instance's id holds no slash."""
    if topic is Topic.NODES:
        return ProjectedTable.NODES
    if topic is Topic.ALIASES:
        return ProjectedTable.ALIASES
    return ProjectedTable.NODE_STATUSES if "/" in key else ProjectedTable.INSTANCE_STATUSES


def fold_of(tables: Readable, partition: int) -> Folded:
    """Byte for byte what Redis has to hold of a partition."""
    folded: Folded = {table: {} for table in TABLES}
    for topic in TOPICS:
        for key, entry in tables.items(topic, partition):
            folded[table_of(topic, key)][key] = entry.value
    return folded


def changes_of(topic: Topic, told: Iterable[Told]) -> Iterator[Change]:
    """The same news in the words of the projection."""
    for one in told:
        value = b"" if one.entry is None else one.entry.value
        yield Change(table_of(topic, one.key), one.key, value)


def apply(folded: Folded, changes: Iterable[Change]) -> None:
    for change in changes:
        if change.value:
            folded[change.table][change.key] = change.value
        else:
            folded[change.table].pop(change.key, None)


def position_text(positions: Mapping[Topic, Position]) -> str:
    """One opaque word for how far all topics are folded in."""
    told = {topic.value: [one.log, one.next_offset] for topic, one in positions.items()}
    return canonical_json(told).decode()
