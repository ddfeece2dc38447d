"""The latest public events of all partitions, in memory: bounded, shared by all streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Literal
from uuid import UUID

from pydantic import ConfigDict, TypeAdapter

from schemas.events import CommandAccepted, CommandRejected
from schemas.ids import InstanceId, place_of
from schemas.messages import TableRecord
from schemas.views import Gone
from services.api.positions import Source
from services.chassis.tables import Batch, Position
from services.chassis.tables_fold import Change, Entry

OUTCOMES_REMEMBERED_MAX = 20_000  # So that one told again is known to be no news.
EVENT_OVERHEAD_BYTES = 400  # What an event takes beside its data, about.


class StatusMark(TableRecord):
    """Of a status event only what is needed to know whose it is; its bytes are kept beside it."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Literal["NodeStatusChanged", "InstanceStatusChanged"]
    instance: InstanceId | None = None

    @property
    def key(self) -> str:
        return self.instance or self.place


Outcome = CommandAccepted | CommandRejected
OUTCOME: TypeAdapter[Outcome] = TypeAdapter(Outcome)


@dataclass(frozen=True, slots=True)
class Event:
    """One public event, ready to be sent."""

    source: Source
    offset: int
    at_ms: float
    kind: str
    project: str
    node: str
    data: bytes  # One line of JSON.

    @property
    def place(self) -> str:
        return place_of(self.project, self.node)


class EventLog:
    """Numbered events; the oldest are forgotten when there are too many of them, or bytes.

    Every partition has its own order; `positions` tells how far each was read.
    """

    def __init__(
        self, *, events_max: int, bytes_max: int, counted: Callable[[str], None] = lambda _: None
    ) -> None:
        self._events_max, self._bytes_max = events_max, bytes_max
        self._events: dict[int, Event] = {}
        self._counted = counted
        self._bytes = 0
        self._known: dict[str, StatusMark] = {}
        self._outcomes: dict[UUID, None] = {}
        self._live: set[Source] = set()
        self._news = asyncio.Event()
        self.first = self.next = 0
        self.life = 0  # Another one after a partition was read anew: offsets may mean other things.
        self.positions: dict[Source, Position] = {}
        self.forgotten: dict[Source, int] = {}  # Events before this offset are not here any more.

    def heard(self, batch: Batch) -> None:
        """As a listener of the tables, from their start."""
        source = (batch.topic, batch.partition)
        if batch.is_rebuilt and source not in self._live:
            self._live.add(source)  # What it told was told as history.
            self.positions[source] = batch.position
        elif source not in self._live or not (batch.is_rebuilt or batch.is_history):
            self._take(source, batch)
        elif batch.is_rebuilt:
            self._begin_anew(source, batch)
        self.wake()

    def began_at(self, source: Source, offset: int) -> None:
        """What lay before this offset was gone before anything was read."""
        self.forgotten[source] = max(offset, self.forgotten.get(source, 0))

    def between(self, start: int, end: int) -> Iterator[Event]:
        """Events by number; those that were forgotten meanwhile are left out."""
        for number in range(max(start, self.first), end):
            if (event := self._events.get(number)) is not None:
                yield event

    async def news(self) -> None:
        """Return when anything was read."""
        await self._news.wait()

    def wake(self) -> None:
        """Whoever waits for news looks again."""
        self._news.set()
        self._news = asyncio.Event()

    def _take(self, source: Source, batch: Batch) -> None:
        for change in batch.changes:
            event = self._event(source, change)
            if event is not None:
                self._append(event)
        self.positions[source] = batch.position

    def _begin_anew(self, source: Source, batch: Batch) -> None:
        """The partition's offsets may be others now: whoever follows starts from what is so."""
        for change in batch.changes:
            self._event(source, change)
        self._events.clear()
        self._bytes, self.first = 0, self.next
        self.life += 1
        self.positions[source] = batch.position
        self.forgotten = {one: known.next_offset for one, known in self.positions.items()}

    def _append(self, event: Event) -> None:
        self._counted(event.kind)
        self._events[self.next] = event
        self.next += 1
        self._bytes += len(event.data) + EVENT_OVERHEAD_BYTES
        while len(self._events) > self._events_max or self._bytes > self._bytes_max:
            oldest = self._events.pop(self.first)
            self.first += 1
            self._bytes -= len(oldest.data) + EVENT_OVERHEAD_BYTES
            self.forgotten[oldest.source] = oldest.offset + 1

    def _event(self, source: Source, change: Change) -> Event | None:
        """None where the record only says again what is known."""
        if change.entry is None:
            known = self._known.pop(change.key, None)
            return None if known is None else _gone(source, change, known)
        record = change.entry.record
        if isinstance(record, StatusMark):
            known, self._known[change.key] = self._known.get(change.key), record
            is_news = known is None or known.id != record.id
        else:
            is_news = record.id not in self._outcomes
            self._remember(record.id)
        return event_of(source, change.entry) if is_news else None

    def _remember(self, outcome: UUID) -> None:
        self._outcomes[outcome] = None
        if len(self._outcomes) > OUTCOMES_REMEMBERED_MAX:
            del self._outcomes[next(iter(self._outcomes))]


def event_of(source: Source, entry: Entry) -> Event:
    """The record as it lies on the bus, without what only its writers need."""
    record = entry.record
    body = json.loads(entry.value)
    body.pop("term", None)
    body.pop("seq", None)
    return Event(
        source=source,
        offset=entry.offset,
        at_ms=record.at.timestamp() * 1000,
        kind=str(body["kind"]),
        project=record.project,
        node=record.node,
        data=json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode(),
    )


def _gone(source: Source, change: Change, known: StatusMark) -> Event:
    kind: Literal["NodeGone", "InstanceGone"] = "InstanceGone" if known.instance else "NodeGone"
    at_ms = known.at.timestamp() * 1000 if change.timestamp_ms is None else change.timestamp_ms
    view = Gone(
        kind=kind,
        project=known.project,
        node=known.node,
        instance=known.instance,
        at=datetime.fromtimestamp(at_ms / 1000, timezone.utc),
    )
    return Event(
        source=source,
        offset=change.offset,
        at_ms=at_ms,
        kind=kind,
        project=known.project,
        node=known.node,
        data=view.model_dump_json(exclude_none=True).encode(),
    )
