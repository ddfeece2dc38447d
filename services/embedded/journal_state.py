"""What the journal knows: the last record of every key, outcomes, usage, open commands. Pure."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from schemas.messages import SEQ_HEADER, TERM_HEADER
from schemas.tables import OWNER_KEY, wins
from schemas.topics import DECLARATIONS, Topic
from services.chassis.bus_records import RawRecord
from services.embedded.journal_records import DECIDED, ENDED, decided, ended
from services.embedded.journal_usage import Usage, size_of

# The broker keeps 5 MiB of a partition: what is brought back must leave room for what is new.
LOG_BYTES_MAX = 3 * 1024 * 1024  # Of outcomes, and of commands, in one partition: the newest.
OWN = "~"  # Keys of owners' marks: they speak of a log that is gone, so none is brought back.
TABLES = tuple(topic.value for topic, one in DECLARATIONS.items() if one.is_compacted)
TOPICS = (*TABLES, Topic.OUTCOMES.value, Topic.USAGE.value, Topic.COMMANDS.value)

Order = tuple[int, int]


@dataclass
class Part:
    """One partition of a table, or of `outcomes`."""

    is_log: bool
    entries: OrderedDict[str, tuple[Order, RawRecord]] = field(default_factory=OrderedDict)
    mark: RawRecord | None = None  # Of its latest owner.
    term: int = 0
    bytes: int = 0

    def apply(self, raw: RawRecord) -> None:
        key = (raw.key or b"").decode(errors="replace")
        if key == OWNER_KEY:
            self._marked(raw)
        elif not key.startswith(OWN):
            self._recorded(_outcome_key(raw) if self.is_log else key, raw)

    def records(self) -> Iterator[RawRecord]:
        """Entries first: some may be of a term before the mark's."""
        yield from (raw for _, raw in self.entries.values())
        if self.mark is not None:
            yield self.mark

    def _marked(self, raw: RawRecord) -> None:
        term = _order(raw)[0]
        if term >= self.term:
            self.term, self.mark = term, raw

    def _recorded(self, key: str, raw: RawRecord) -> None:
        order, known = _order(raw), self.entries.get(key)
        if not wins(order, known[0] if known else None, self.term):
            return
        if known is not None:
            self.bytes -= size_of(self.entries.pop(key)[1])
        if raw.value is None:
            return
        self.entries[key] = (order, raw)
        self.bytes += size_of(raw)
        while self.is_log and self.bytes > LOG_BYTES_MAX and len(self.entries) > 1:
            _, (_, oldest) = self.entries.popitem(last=False)
            self.bytes -= size_of(oldest)


@dataclass
class Commands:
    """Of one partition: those that may not have been decided yet, by offset."""

    waiting: OrderedDict[int, RawRecord] = field(default_factory=OrderedDict)
    bytes: int = 0
    decided_until: int = 0

    def add(self, raw: RawRecord) -> None:
        if raw.offset < self.decided_until:
            return
        self.waiting[raw.offset] = raw
        self.bytes += size_of(raw)
        while self.bytes > LOG_BYTES_MAX and len(self.waiting) > 1:
            self._drop(next(iter(self.waiting)))

    def decide(self, until: int) -> None:
        self.decided_until = max(until, self.decided_until)
        for offset in [one for one in self.waiting if one < until]:
            self._drop(offset)

    def _drop(self, offset: int) -> None:
        self.bytes -= size_of(self.waiting.pop(offset))


class JournalState:
    """Records go in, in the order of the bus; what a new broker needs comes out."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str, int], Part] = {}
        self._commands: dict[int, Commands] = {}
        self._usage: dict[int, Usage] = {}
        self.has_ended = False

    def apply(self, raw: RawRecord) -> None:
        self.has_ended = raw.topic == ENDED
        if raw.topic == DECIDED:
            self._commands_of(raw.partition).decide(raw.offset)
        elif raw.topic == Topic.COMMANDS.value:
            self._commands_of(raw.partition).add(raw)
        elif raw.topic == Topic.USAGE.value:
            self._usage.setdefault(raw.partition, Usage()).add(raw)
        elif raw.topic in TOPICS:
            is_log = raw.topic == Topic.OUTCOMES.value
            place = (raw.topic, raw.partition)
            self._parts.setdefault(place, Part(is_log)).apply(raw)

    @property
    def has_undecided(self) -> bool:
        return any(one.waiting for one in self._commands.values())

    def decides(self, mark: RawRecord) -> bool:
        """Whether this mark says more than is known."""
        return self._commands_of(mark.partition).decided_until < mark.offset

    @property
    def bytes(self) -> int:
        parts = sum(part.bytes for part in self._parts.values())
        metered = sum(one.bytes for one in self._usage.values())
        return parts + metered + sum(one.bytes for one in self._commands.values())

    def told_again(self) -> list[RawRecord]:
        """What the broker is about to forget, and no owner tells it again."""
        due = [one for one in self._usage.values() if one.is_being_forgotten]
        return [raw for one in due for raw in one.told_again()]

    def known(self) -> Iterator[RawRecord]:
        """What is to be brought back: no marks, tables before commands."""
        for part in self._parts.values():
            yield from (raw for _, raw in part.entries.values())
        yield from self._metered()
        for one in self._commands.values():
            yield from one.waiting.values()

    def snapshot(self) -> Iterator[RawRecord]:
        """Records that lead to this very state when they are applied to an empty one."""
        for part in self._parts.values():
            yield from part.records()
        yield from self._metered()
        for partition, one in self._commands.items():
            yield decided(partition, one.decided_until)
            yield from one.waiting.values()
        if self.has_ended:
            yield ended()

    def _metered(self) -> Iterator[RawRecord]:
        for one in self._usage.values():
            yield from one.entries.values()

    def _commands_of(self, partition: int) -> Commands:
        return self._commands.setdefault(partition, Commands())


def _order(raw: RawRecord) -> Order:
    """Of the headers; a record of somebody who sets none says it in its body, if at all."""
    term, seq = raw.count(TERM_HEADER), raw.count(SEQ_HEADER)
    if term is not None and seq is not None:
        return term, seq
    body = body_of(raw)
    term, seq = body.get("term"), body.get("seq")
    return (term, seq) if isinstance(term, int) and isinstance(seq, int) else (0, 0)


def _outcome_key(raw: RawRecord) -> str:
    """By command; a refused reuse of its id has another body's digest."""
    body = body_of(raw)
    return f"{body.get('command', raw.offset)}/{body.get('digest', '')}"


def body_of(raw: RawRecord) -> dict[str, Any]:
    """The JSON object of a record; empty if it is none."""
    try:
        body = json.loads(raw.value or b"")
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}
