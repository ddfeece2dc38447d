"""One reader of the event log: where it began, how far it has come, what it is to be told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from schemas.ids import partition_of, place_of
from schemas.topics import Topic
from services.api import positions
from services.api.event_log import Event, EventLog, StatusMark
from services.api.positions import Source
from services.api.problems import ApiProblem
from services.chassis.tables import Position
from services.chassis.tables_fold import Entry
from services.chassis.tables_known import KnownTables


@dataclass(frozen=True)
class Filter:
    """What somebody wants to hear of."""

    project: str
    nodes: frozenset[str] = frozenset()  # Empty: all of the project.
    kinds: frozenset[str] = frozenset()  # Empty: all.
    since_ms: float | None = None

    def fits(self, event: Event) -> bool:
        is_since = self.since_ms is None or event.at_ms >= self.since_ms
        is_meant = self.is_kind(event.kind) and self.concerns(event.project, event.node)
        return is_since and is_meant

    def concerns(self, project: str, node: str) -> bool:
        return project == self.project and (not self.nodes or node in self.nodes)

    def is_kind(self, kind: str) -> bool:
        return not self.kinds or kind in self.kinds

    def partitions(self, count: int) -> list[int]:
        """Those where such events can be."""
        if not self.nodes:
            return list(range(count))
        return sorted({partition_of(place_of(self.project, one), count) for one in self.nodes})


@dataclass
class Reader:
    """Takes events in their order; `is_lost` says that some were forgotten before it took them."""

    log: EventLog
    filter: Filter
    sources: tuple[Source, ...]
    at: dict[Source, int] = field(default_factory=dict)  # The next offset of each.
    number: int = 0  # The next event to look at.
    life: int = 0

    def from_now(self) -> None:
        self.number, self.life = self.log.next, self.log.life
        self.at = {one: self._now(one).next_offset for one in self.sources}

    def from_start(self) -> None:
        self.number, self.life = self.log.first, self.log.life
        self.at = {one: self.log.forgotten.get(one, 0) for one in self.sources}

    def resumed(self, id: str) -> str:
        """Go on after an event; else the sentence why that cannot be."""
        known = positions.read(id, self.sources)
        if known is None:
            return "the position is of another stream or version"
        for one, then in known.items():
            now = self._now(one)
            if not positions.is_same_log(then, now) or then.next_offset > now.next_offset:
                return "the bus has begun a new log since"
            if then.next_offset < self.log.forgotten.get(one, 0):
                return "the position is too old: events after it are not kept any more"
        self.from_start()
        self.at = {one: then.next_offset for one, then in known.items()}
        return ""

    @property
    def is_lost(self) -> bool:
        """It was slower than the log forgets."""
        return self.number < self.log.first and self.life == self.log.life

    @property
    def is_outlived(self) -> bool:
        """The log has begun anew."""
        return self.life != self.log.life

    @property
    def is_done(self) -> bool:
        return self.number >= self.log.next

    @property
    def id(self) -> str:
        """The position after what was taken so far."""
        known = {one: Position(self._now(one).log, self.at[one]) for one in self.sources}
        return positions.written(self.sources, known)

    def take(self, events_max: int) -> Iterator[tuple[str, Event]]:
        """The next events that fit, with their ids; looks at no more than `events_max`."""
        end = min(self.log.next, self.number + events_max)
        for event in self.log.between(self.number, end):
            if event.offset < self.at.get(event.source, event.offset + 1):
                continue  # Of another partition, or told before.
            self.at[event.source] = event.offset + 1
            if self.filter.fits(event):
                yield self.id, event
        self.number = end

    def _now(self, source: Source) -> Position:
        return self.log.positions.get(source, Position("", 0))


def present(
    tables: KnownTables, wanted: Filter, partitions: Iterable[int]
) -> list[tuple[Source, Entry]]:
    """The last status of all that exists now; nodes before their instances."""
    found: list[tuple[Source, Entry, StatusMark]] = []
    for number in partitions:
        for _, entry in tables.items(Topic.STATUSES, number):
            record = entry.record
            if isinstance(record, StatusMark) and wanted.concerns(record.project, record.node):
                found.append(((Topic.STATUSES, number), entry, record))
    found.sort(key=lambda one: (one[2].node, one[2].instance is not None))
    return [one[:2] for one in found if wanted.is_kind(one[2].kind)]


class Streams:
    """How many are open, and whether they are to end."""

    def __init__(self, log: EventLog, streams_max: int) -> None:
        self._log = log
        self._max = streams_max
        self.count = 0
        self.is_stopping = False

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """If there may be."""
        if self.count >= self._max or self.is_stopping:
            raise ApiProblem(
                "too-many-streams",
                f"{self.count} streams of events are open",
                remedy="close one, or connect again later",
            )
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1

    def stop(self) -> None:
        """All end after what they have said."""
        self.is_stopping = True
        self._log.wake()
