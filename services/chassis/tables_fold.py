"""One partition of a table, folded record by record. Pure: no IO, no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from pydantic import ValidationError

from schemas.messages import SEQ_HEADER, TERM_HEADER, TableRecord
from schemas.tables import COMPLETE_KEY, OWNER_KEY, Complete, Owner, wins
from schemas.topics import DECLARATIONS, Topic
from services.chassis.bus_records import RawRecord

TOMBSTONES_MAX = 10_000  # Remembered per partition, so that what is gone stays gone.
LOG_ENTRIES_MAX = 100_000  # Remembered per partition of a topic that is not compacted.
RECORD_OVERHEAD_BYTES = 150  # Headers and the batch around one record, about.

Order = tuple[int, int]
T = TypeVar("T")


class Unreadable(Exception):
    """A record that is no record of its table."""


@dataclass(frozen=True)
class TableSpec:
    """How one topic is folded: what its bytes mean, and which records replace one another."""

    topic: Topic
    parse: Callable[[bytes], TableRecord]
    fold_key: Callable[[TableRecord], str] = lambda record: record.key
    entries_max: int = LOG_ENTRIES_MAX  # Of a topic that is not compacted.

    @property
    def is_compacted(self) -> bool:
        return DECLARATIONS[self.topic].is_compacted


@dataclass(frozen=True)
class Entry:
    """What is known of one key."""

    record: TableRecord
    value: bytes  # As it lies on the topic.
    order: Order
    offset: int


@dataclass(frozen=True)
class Change:
    """A key's new record, or None where the key is gone."""

    key: str
    entry: Entry | None
    offset: int = -1  # Of the record that did it; -1 where it was a rebuild.
    timestamp_ms: int | None = None  # As Kafka keeps it.
    trace: dict[str, str] | None = None  # Of the step that wrote it; none where it was a rebuild.

    @property
    def record(self) -> TableRecord | None:
        return None if self.entry is None else self.entry.record


@dataclass(frozen=True)
class Applied:
    """What one record did to the table."""

    changes: tuple[Change, ...] = ()
    lost_key: str | None = None  # A smaller term overwrote this key on the topic, and lost.
    is_other_log: bool = False  # The offsets belong to another life of the partition.


@dataclass
class Fold:
    """The state of one partition up to `position`, and whether it is the whole of it."""

    spec: TableSpec
    began_at: int = 0  # The first offset that existed when reading began.
    end_at: int = 0  # The offset after the last that existed then.
    position: int = 0  # The next offset to read.
    owner: Owner | None = None
    entries: dict[str, Entry] = field(default_factory=dict)
    tombstones: dict[str, Order] = field(default_factory=dict)
    bytes_since_complete: int = 0
    _marked_at: int | None = None
    _is_republished: bool = False

    @property
    def term(self) -> int:
        """The largest that an owner's mark has shown."""
        return 0 if self.owner is None else self.owner.term

    @property
    def term_max(self) -> int:
        """The largest in any mark, record or tombstone: an owner takes a larger one."""
        orders = (*(entry.order for entry in self.entries.values()), *self.tombstones.values())
        return max(self.term, max((term for term, _ in orders), default=0))

    @property
    def log(self) -> str:
        """The id of this life of the partition's offsets; empty before the first owner."""
        return "" if self.owner is None else self.owner.log

    @property
    def is_caught_up(self) -> bool:
        return self.position >= self.end_at

    @property
    def is_complete(self) -> bool:
        """Nothing that should be known is missing; only then may absence mean anything."""
        whole = self.began_at == 0 or not self.spec.is_compacted
        return self.is_caught_up and (whole or self._is_republished)

    def apply(self, raw: RawRecord) -> Applied:
        """Fold the next record in; Unreadable changes nothing but the position."""
        is_live, self.position = self.is_caught_up, raw.offset + 1
        self.bytes_since_complete += RECORD_OVERHEAD_BYTES + len(raw.value or b"")
        key = _key(raw)
        if key == OWNER_KEY:
            owner = _parsed(Owner.model_validate_json, raw)
            return self._marked(owner, raw.offset, is_live=is_live)
        if key == COMPLETE_KEY:
            return self._completed(_parsed(Complete.model_validate_json, raw))
        if raw.value is None:
            return self._buried(key, _header_order(raw) or (0, 0))
        record = _parsed(self.spec.parse, raw)
        order = _header_order(raw) or record.order
        return self._recorded(Entry(record, raw.value, order, raw.offset))

    def _marked(self, owner: Owner, offset: int, *, is_live: bool) -> Applied:
        """While catching up the last mark names the log; live, another name is another log."""
        if owner.term < self.term:
            return Applied(lost_key=OWNER_KEY)
        if self.owner is None or owner.term > self.term:
            if is_live and self.log not in ("", owner.log):
                return Applied(is_other_log=True)
            self.owner = owner
        if owner.owner == self.owner.owner:  # Of two with one term the first holds it.
            self._marked_at = offset
        return Applied()

    def _completed(self, complete: Complete) -> Applied:
        """A whole republication ends: a key that was not in it does not exist."""
        if complete.term != self.term or self._marked_at is None:
            return Applied()
        marked_at = self._marked_at
        ghosts = [key for key, entry in self.entries.items() if entry.offset < marked_at]
        for key in ghosts:
            del self.entries[key]
        self._is_republished, self.bytes_since_complete = True, 0
        return Applied(tuple(Change(key, None) for key in ghosts))

    def _buried(self, key: str, order: Order) -> Applied:
        if not wins(order, self._known(key), self.term):
            return self._lost(key, order)
        self.tombstones.pop(key, None)
        self.tombstones[key] = order
        _forget_oldest(self.tombstones, TOMBSTONES_MAX)
        gone = self.entries.pop(key, None)
        return Applied((Change(key, None),)) if gone else Applied()

    def _recorded(self, entry: Entry) -> Applied:
        key = self.spec.fold_key(entry.record)
        if not wins(entry.order, self._known(key), self.term):
            return self._lost(key, entry.order)
        self.tombstones.pop(key, None)
        if not self.spec.is_compacted:
            self.entries.pop(key, None)  # Last in, so that the oldest is forgotten first.
        self.entries[key] = entry
        if not self.spec.is_compacted:
            _forget_oldest(self.entries, self.spec.entries_max)
        return Applied((Change(key, entry),))

    def _known(self, key: str) -> Order | None:
        entry = self.entries.get(key)
        return entry.order if entry else self.tombstones.get(key)

    def _lost(self, key: str, order: Order) -> Applied:
        return Applied(lost_key=key if order[0] < self.term else None)


def merged(before: Fold, after: Fold) -> list[Change]:
    """Make `after`, a fold from the start, follow on `before`, and tell what differs.

    A key that an incomplete fold does not show may still exist, so it is kept.
    """
    if not after.is_complete:
        for key, entry in before.entries.items():
            if key not in after.entries and key not in after.tombstones:
                after.entries[key] = Entry(entry.record, entry.value, entry.order, -1)
    changed = [
        Change(key, entry)
        for key, entry in after.entries.items()
        if (known := before.entries.get(key)) is None or known.value != entry.value
    ]
    gone = [Change(key, None) for key in before.entries if key not in after.entries]
    return changed + gone


def placed(changes: Iterable[Change], raw: RawRecord) -> Iterator[Change]:
    """With where the record lies that did it."""
    for one in changes:
        yield Change(one.key, one.entry, raw.offset, raw.timestamp_ms, raw.trace)


def _key(raw: RawRecord) -> str:
    try:
        return (raw.key or b"").decode()
    except UnicodeDecodeError:
        raise Unreadable("the key is not UTF-8") from None


def _parsed(parse: Callable[[bytes], T], raw: RawRecord) -> T:
    if raw.value is None:
        raise Unreadable("a mark has no value")
    try:
        return parse(raw.value)
    except (ValidationError, ValueError, RecursionError) as error:
        raise Unreadable(f"{type(error).__name__}: {error}") from None


def _header_order(raw: RawRecord) -> Order | None:
    """What the headers say, if both are readable; tombstones have nothing else."""
    term, seq = raw.count(TERM_HEADER), raw.count(SEQ_HEADER)
    return None if term is None or seq is None else (term, seq)


def _forget_oldest(known: dict[str, T], most: int) -> None:
    for key in list(islice(known, max(0, len(known) - most))):
        del known[key]
