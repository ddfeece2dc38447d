"""Metered seconds in memory: of instances for a month, of nodes and types for thirteen. Pure.

Of two records of one hour of an instance the larger counts, so what is read twice, late or in
another order changes nothing, as long as the instance's own hours are still here.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Literal

from pydantic import AwareDatetime, ConfigDict

from schemas.ids import InstanceId
from schemas.messages import TableRecord
from schemas.topics import USAGE_DAYS
from schemas.usage import HOUR_SECONDS

DETAIL_DAYS = 31  # Hours of single instances; a record that comes later than that is passed over.
DETAIL_HOURS = DETAIL_DAYS * 24
SUMMED_HOURS = USAGE_DAYS * 24
AHEAD_HOURS = 24  # So far clocks may differ.
INSTANCES_MAX = 200_000  # Of one partition with hours of their own; who ended first loses them.
_MS = 1000


class UsageMark(TableRecord):
    """Of an InstanceUsage only what is summed up."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: Literal["InstanceUsage"]
    instance: InstanceId
    instance_type: str
    hour: AwareDatetime
    seconds: float


def hour_number(moment: datetime) -> int:
    """Hours since 1970."""
    return int(moment.timestamp() // HOUR_SECONDS)


def hour_at(number: int) -> datetime:
    return datetime.fromtimestamp(number * HOUR_SECONDS, timezone.utc)


@dataclass
class Hours:
    """Milliseconds by hour, eight bytes each, from `first` on."""

    first: int
    ms: array[int] = field(default_factory=lambda: array("Q"))

    @property
    def end(self) -> int:
        return self.first + len(self.ms)

    def raised(self, hour: int, ms: int) -> int:
        """Have at least so much in that hour; by how much it has grown."""
        growth = max(0, ms - self._at(hour))
        if growth:
            self.add(hour, growth)
        return growth

    def add(self, hour: int, ms: int) -> None:
        if hour < self.first:
            self.ms = array("Q", bytes(8 * (self.first - hour))) + self.ms
            self.first = hour
        if hour >= self.end:
            self.ms.frombytes(bytes(8 * (hour + 1 - self.end)))
        self.ms[hour - self.first] += ms

    def between(self, begin: int, end: int) -> int:
        return sum(self.ms[max(0, begin - self.first) : max(0, end - self.first)])

    def by_hour(self, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """Hours in which there is anything."""
        first = max(begin, self.first)
        for number, ms in enumerate(self.ms[first - self.first : max(0, end - self.first)], first):
            if ms:
                yield number, ms

    def forget_before(self, hour: int) -> None:
        if hour > self.first:
            del self.ms[: hour - self.first]
            self.first = hour

    def _at(self, hour: int) -> int:
        return self.ms[hour - self.first] if self.first <= hour < self.end else 0


@dataclass(frozen=True)
class Kind:
    """What is summed up for ever: a node's instances of one type."""

    project: str
    node: str
    instance_type: str


@dataclass
class Ledger:
    """Of one partition, which tells the hours about in their order."""

    latest: int = 0  # The last hour that was told of.
    told_at: dict[str, datetime] = field(default_factory=dict)  # By project.
    sums: dict[Kind, Hours] = field(default_factory=dict)
    instances: dict[str, tuple[Kind, Hours]] = field(default_factory=dict)
    passed_over: int = 0

    def add(self, mark: UsageMark, now: datetime) -> None:
        hour = hour_number(mark.hour)
        if hour < self.latest - DETAIL_HOURS:
            self.passed_over += 1  # Nobody remembers whether it was counted already.
            return
        if hour > hour_number(now) + AHEAD_HOURS:
            self.passed_over += 1  # A clock was wrong: all true hours would be too old after it.
            return
        if hour > self.latest:
            is_new_day = hour // 24 > self.latest // 24
            self.latest = hour
            if is_new_day:
                self._forget_old()
        kind = Kind(mark.project, mark.node, mark.instance_type)
        if mark.instance not in self.instances:
            self._make_room()
            self.instances[mark.instance] = (kind, Hours(hour))
        kind, hours = self.instances[mark.instance]
        if growth := hours.raised(hour, round(mark.seconds * _MS)):
            self.instances[mark.instance] = self.instances.pop(mark.instance)  # The latest last.
            self.sums.setdefault(kind, Hours(hour)).add(hour, growth)
        told_at = self.told_at.get(mark.project)
        self.told_at[mark.project] = mark.at if told_at is None else max(told_at, mark.at)

    def _make_room(self) -> None:
        if len(self.instances) >= INSTANCES_MAX:
            del self.instances[next(iter(self.instances))]

    def _forget_old(self) -> None:
        for _, hours in self.instances.values():
            hours.forget_before(self.latest - DETAIL_HOURS)
        for hours in self.sums.values():
            hours.forget_before(self.latest - SUMMED_HOURS)
        self.instances = {key: one for key, one in self.instances.items() if one[1].ms}
        self.sums = {kind: hours for kind, hours in self.sums.items() if hours.ms}
