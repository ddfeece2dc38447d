"""Tells Grafana each change once: looks before it writes whenever somebody may have written.

Kafka delivers at least once and Grafana takes whatever it is given, so "once" is made here. What
this process wrote itself it knows. Of every key that it meets for the first time since it began,
or since partitions were dealt out, and after each try whose end is not known, it asks Grafana
first. Where the whole story begins is an annotation, too: state lies only where it is shown.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from schemas.events import InstanceStatusChanged, NodeStatusChanged
from schemas.statuses import Transition
from schemas.tables import Complete, Owner
from services.annotations.grafana import Grafana, GrafanaAway, GrafanaRefuses
from services.annotations.marks import Event, Mark, known_ids, marks, whose
from services.annotations.measures import OLD, REFUSED, THERE, WRITTEN, Measures
from services.annotations.settings import AnnotationsSettings
from services.chassis.bus_records import RawRecord
from services.chassis.loops import Backoff
from services.chassis.process import Process
from services.chassis.telemetry import logger

RETRY_SECONDS_FIRST = 0.5
BEGIN = "begin"
FAR_MS = 10**14  # Further ahead than any annotation lies.

log = logger("annotations.teller")

Record = InstanceStatusChanged | NodeStatusChanged | Owner | Complete
_RECORD: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="kind")])


class Teller:
    """One record after the other; it waits for Grafana as long as it takes."""

    def __init__(
        self, process: Process[AnnotationsSettings], grafana: Grafana, measures: Measures
    ) -> None:
        self._settings = process.settings
        self._clock = process.clock
        self._grafana = grafana
        self._measures = measures
        self._reached = process.readiness.require("grafana")
        self._backoff = Backoff(RETRY_SECONDS_FIRST, process.settings.retry_seconds_max)
        self._started_at = process.clock.now()
        self._begins_at: datetime | None = None
        self._told: dict[str, Transition] = {}  # By key: the last step that is dealt with.
        self._terms: dict[int, int] = {}  # By partition: the largest that was seen.

    def begin_anew(self) -> None:
        """Partitions were dealt out: others may have told what is still unknown here."""
        self._told.clear()
        self._terms.clear()

    async def heard(self, raw: RawRecord) -> None:
        """Return once Grafana has every change that the record tells of."""
        key = (raw.key or b"").decode(errors="replace")
        if raw.value is None:
            self._told.pop(key, None)
            return
        record = _parsed(raw)
        if record is None or record.term < self._terms.get(raw.partition, 0):
            return  # Unreadable, or late: its writer had lost the partition already.
        self._terms[raw.partition] = record.term
        if isinstance(record, Owner | Complete):
            return
        if due := await self._due(record):
            await self._tell(record, due)
        if record.transitions:
            self._told[record.key] = record.transitions[-1]

    async def _due(self, event: Event) -> list[Mark]:
        """The changes that are new here, without those that are too old."""
        begins_at = await self._begun()
        new = marks(event, self._settings.tag, self._told.get(event.key))
        return self._recent([mark for mark in new if mark.at >= begins_at])

    def _recent(self, wanted: Sequence[Mark]) -> list[Mark]:
        oldest = self._clock.now() - timedelta(seconds=self._settings.age_seconds_max)
        recent = [mark for mark in wanted if mark.at >= oldest]
        if old := len(wanted) - len(recent):
            self._measures.count(OLD, old)
            log.warning("changes too old to be told", count=old)
        return recent

    async def _tell(self, event: Event, due: list[Mark]) -> None:
        """Write them in order; whenever it is not known whether one is there, ask first."""
        is_known, failures = self._told.get(event.key) in event.transitions, 0
        while due:
            try:
                if not is_known:
                    due = await self._missing(event, due)
                    is_known = True
                while due:
                    await self._write(due[0])
                    del due[0]
            except (GrafanaAway, GrafanaRefuses) as error:  # It may refuse to be asked, too.
                is_known, failures = False, failures + 1
                await self._wait(error, failures)
                due = self._recent(due)
        self._back()

    async def _write(self, mark: Mark) -> None:
        try:
            await self._grafana.write(mark)
        except GrafanaRefuses as error:
            self._measures.count(REFUSED)
            log.error("Grafana refuses an annotation", error=str(error), id=mark.id)
        else:
            self._measures.count(WRITTEN)

    async def _missing(self, event: Event, due: Sequence[Mark]) -> list[Mark]:
        """Those that Grafana does not have."""
        tags = whose(event, self._settings.tag)
        times = [mark.at_ms for mark in due]
        found = known_ids(await self._grafana.find(tags, min(times) - 1, max(times) + 1))
        if there := [mark for mark in due if mark.id in found]:
            self._measures.count(THERE, len(there))
        return [mark for mark in due if mark.id not in found]

    async def _begun(self) -> datetime:
        """Where the story begins: as Grafana remembers it, else now, which it then does."""
        failures = 0
        while self._begins_at is None:
            try:
                self._begins_at = await self._remembered() or await self._remember()
            except (GrafanaAway, GrafanaRefuses) as error:
                failures += 1
                await self._wait(error, failures)
        self._back()
        return self._begins_at

    async def _remembered(self) -> datetime | None:
        found = await self._grafana.find([f"{self._settings.tag}-{BEGIN}"], 0, FAR_MS)
        times = [one["time"] for one in found if isinstance(one, dict) and "time" in one]
        if not times:
            return None
        return datetime.fromtimestamp(min(times) / 1000, tz=self._started_at.tzinfo)

    async def _remember(self) -> datetime:
        """The very first start: what lies before is history, and nobody asked for it."""
        at = self._started_at - timedelta(seconds=self._settings.first_seconds)
        tag = f"{self._settings.tag}-{BEGIN}"
        text = "Changes of status are told from here on. Without this mark the story begins anew."
        await self._grafana.write(Mark(BEGIN, at, (tag,), text))
        log.info("the story begins", at=at.isoformat())
        return at

    async def _wait(self, error: Exception, failures: int) -> None:
        self._measures.failures.inc()
        self._measures.waits.set(1)
        self._reached.unmet(str(error))
        log.warning("Grafana is waited for", error=str(error), failures=failures)
        await self._clock.sleep(self._backoff.delay_seconds(failures, self._clock))

    def _back(self) -> None:
        self._measures.waits.set(0)
        self._reached.met("it answers")


def _parsed(raw: RawRecord) -> Record | None:
    """None for what cannot be read; whose topic it is buries that."""
    try:
        return _RECORD.validate_json(raw.value or b"")
    except ValidationError as error:
        log.error("record unreadable", offset=raw.offset, error=str(error)[:500])
        return None
