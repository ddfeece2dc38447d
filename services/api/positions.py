"""The `id:` of an event: how far a reader has come in every partition that concerns it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from schemas.topics import Topic
from services.chassis.tables import Position

Source = tuple[Topic, int]  # A partition of a topic.

TOPICS = (Topic.STATUSES, Topic.OUTCOMES)
VERSION = "1"
LOG_CHARACTERS = 8  # Of the log's id: enough to tell one life of the offsets from another.
_PART = re.compile(r"([A-Za-z0-9_]{0,8})-([0-9a-f]{1,15})")


def sources_of(partitions: Iterable[int]) -> tuple[Source, ...]:
    """In the order in which a position names them."""
    return tuple((topic, number) for number in sorted(set(partitions)) for topic in TOPICS)


def written(sources: Iterable[Source], positions: Mapping[Source, Position]) -> str:
    """The position as an opaque word without blanks."""
    parts = (f"{_short(positions[one].log)}-{positions[one].next_offset:x}" for one in sources)
    return ".".join((VERSION, *parts))


def read(text: str, sources: tuple[Source, ...]) -> dict[Source, Position] | None:
    """None where it is no position of these partitions."""
    version, *parts = text.split(".")
    found = [_PART.fullmatch(part) for part in parts]
    if version != VERSION or len(found) != len(sources):
        return None
    positions = [Position(one[1], int(one[2], 16)) for one in found if one is not None]
    return dict(zip(sources, positions, strict=True)) if len(positions) == len(sources) else None


def is_same_log(then: Position, now: Position) -> bool:
    """Whether offsets mean the same: a log without an owner gets its name later."""
    is_unnamed = not then.log and then.next_offset <= now.next_offset
    return is_unnamed or then.log == _short(now.log)


def _short(log: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", log[:LOG_CHARACTERS])
