"""What of a journal is brought back into a new broker, and on which partition."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from schemas.events import InstanceUsage
from schemas.ids import DEFAULT_PROJECT, UID_CHARACTERS, partition_of, place_of
from schemas.instances import Exit, Instance
from schemas.topics import Topic
from schemas.usage import metered
from services.chassis.bus_records import RawRecord
from services.chassis.last_end import all_ended_at
from services.embedded.journal_state import JournalState, body_of

NUMBERS_SKIPPED = 100  # After a kill: numbers that may have been given in what was not written.
_NUMBERED = re.compile(r"(?P<stem>.+-[0-9a-f]{6})-(?P<n>[0-9]{1,10})")


@dataclass(frozen=True)
class Host:
    """What this machine still has of the instances."""

    instances: Path

    def has(self, instance: str) -> bool:
        return (self.instances / instance).is_dir()

    def largest_numbers(self) -> dict[str, int]:
        """By `<node>-<uid>`, of every instance that lies here."""
        found: dict[str, int] = {}
        names = (path.name for path in self.instances.iterdir()) if self.instances.is_dir() else ()
        for name in names:
            if match := _NUMBERED.fullmatch(name):
                found[match["stem"]] = max(found.get(match["stem"], 0), int(match["n"]))
        return found


def brought_back(state: JournalState, host: Host, partitions: int) -> Iterator[RawRecord]:
    """Records for the new broker. Offsets and owners' marks were of a log that is gone."""
    skipped = 0 if state.has_ended else NUMBERS_SKIPPED
    largest = host.largest_numbers()
    for raw in state.known():
        if raw.topic == Topic.INSTANCES.value and _is_over(raw, host):
            yield from _last_words(raw, host, partitions)
            continue
        if raw.topic == Topic.NODES.value:
            raw = _with_unused_numbers(raw, largest, skipped)
        yield replace(raw, partition=_partition(raw, partitions))


def nodes_in(records: Iterable[RawRecord]) -> int:
    return sum(raw.topic == Topic.NODES.value for raw in records)


def _is_over(raw: RawRecord, host: Host) -> bool:
    """A local VM whose directory is gone was ended in order, with the system or by it."""
    handle = body_of(raw).get("handle")
    is_local = isinstance(handle, dict) and handle.get("provider") == "local"
    return is_local and not host.has((raw.key or b"").decode(errors="replace"))


def _last_words(raw: RawRecord, host: Host, partitions: int) -> Iterator[RawRecord]:
    """Nobody was left to say for how long it lived in the end."""
    ended_at = all_ended_at(host.instances.parent)
    with suppress(ValidationError):
        instance = Instance.model_validate_json(raw.value or b"")
        begun = instance.created_at
        if instance.exited is None and ended_at is not None and begun and begun <= ended_at:
            instance = instance.model_copy(update={"exited": Exit(at=ended_at)})
        if instance.exited is not None:
            place = _partition(raw, partitions)
            yield from (_usage(one, place) for one in metered(instance, instance.exited.at))


def _usage(record: InstanceUsage, partition: int) -> RawRecord:
    return RawRecord(
        Topic.USAGE.value,
        partition,
        0,
        record.key.encode(),
        record.model_dump_json().encode(),
        timestamp_ms=int(record.at.timestamp() * 1000),
    )


def _with_unused_numbers(raw: RawRecord, largest: dict[str, int], skipped: int) -> RawRecord:
    """An id of an instance is never used again, though its record may have been lost."""
    body = body_of(raw)
    if not isinstance(body.get("next_n"), int):
        return raw
    known = largest.get(_stem(body), 0)
    next_n = max(body["next_n"] + skipped, known + 1)
    return replace(raw, value=json.dumps({**body, "next_n": next_n}).encode())


def _stem(body: dict[str, Any]) -> str:
    uid = str(body.get("uid", "")).replace("-", "")
    return f"{body.get('node', '')}-{uid[:UID_CHARACTERS]}"


def _partition(raw: RawRecord, partitions: int) -> int:
    """By its place, so that another number of partitions does no harm."""
    body = body_of(raw)
    project, node = body.get("project", DEFAULT_PROJECT), body.get("node")
    if isinstance(project, str) and isinstance(node, str):
        return partition_of(place_of(project, node), partitions)
    return raw.partition % partitions
