"""Keys of the projection in Redis, and the pure fold that it must always equal."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

PREFIX = "cellnode"
FEED_ENTRIES_MAX = 10_000


class ProjectedTable(str, Enum):
    """What the projection holds; each is a hash of record key -> JSON of the record."""

    NODES = "nodes"
    NODE_STATUSES = "node-statuses"
    INSTANCE_STATUSES = "instance-statuses"
    ALIASES = "aliases"


def head_key(partition: int) -> str:
    """The hash with incarnation, position, version and at."""
    return f"{PREFIX}:{{{partition}}}:head"


def table_key(partition: int, incarnation: str, table: ProjectedTable) -> str:
    return f"{PREFIX}:{{{partition}}}:{incarnation}:{table.value}"


def feed_key(partition: int, incarnation: str) -> str:
    """The stream of changes; ids are `<version>-0`."""
    return f"{PREFIX}:{{{partition}}}:{incarnation}:feed"


@dataclass(frozen=True)
class Change:
    """One field set, or removed where `value` is empty."""

    table: ProjectedTable
    key: str
    value: bytes = b""
