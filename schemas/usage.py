"""What an instance is metered for, hour by hour: a function of its record and the time. Pure.

An instance is metered from the making of its VM to the end of its agent. Every record says for how
long it is known to have lived in an hour, so of two that speak of one hour the larger is right:
records may be repeated, lost and told again, and come in any order and from anybody.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from uuid import UUID, uuid5

from schemas.events import InstanceUsage
from schemas.instances import Instance
from schemas.topics import USAGE_DAYS

HOUR = timedelta(hours=1)
HOUR_SECONDS = 3600
KEPT = timedelta(days=USAGE_DAYS)  # What is older is forgotten as soon as it is told.
TYPE_UNKNOWN = "unknown"  # Of a record that is older than the field.
_RECORDS = UUID("5f0f1f86-9f0a-5c0e-8f0e-6d1c7a3b2e10")


def hour_of(moment: datetime) -> datetime:
    """Its beginning, in UTC."""
    return moment.astimezone(timezone.utc).replace(minute=0, second=0, microsecond=0)


def metered(instance: Instance, alive_at: datetime) -> list[InstanceUsage]:
    """From the first hour that is not on record yet up to the end of its agent; where it has not
    ended, up to the moment at which it was known to live."""
    begun = instance.created_at
    end = alive_at if instance.exited is None else instance.exited.at
    if begun is None:
        return []
    first = hour_of(begun)
    if end - begun > KEPT:  # A clock that was wrong names any year.
        first = hour_of(end) - KEPT
    if instance.metered_until is not None:
        first = max(first, instance.metered_until)
    hours = int((end - first) / HOUR) + 1 if end > first else 0
    return [_record(instance, first + number * HOUR, begun, end) for number in range(hours)]


def _record(instance: Instance, hour: datetime, begun: datetime, end: datetime) -> InstanceUsage:
    lived = min(end, hour + HOUR) - max(begun, hour)
    return InstanceUsage(
        id=uuid5(_RECORDS, f"{instance.instance}@{hour.isoformat()}"),
        at=end,
        project=instance.project,
        node=instance.node,
        instance=instance.instance,
        uid=instance.uid,
        instance_type=instance.instance_type or TYPE_UNKNOWN,
        hour=hour,
        seconds=max(0.0, lived.total_seconds()),
        is_open=instance.exited is None and end < hour + HOUR,
    )


def seconds_by_hour(records: Iterable[InstanceUsage]) -> dict[tuple[str, datetime], float]:
    """By instance and hour: the largest that any record says."""
    found: dict[tuple[str, datetime], float] = {}
    for one in records:
        key = (one.instance, one.hour)
        found[key] = max(one.seconds, found.get(key, 0.0))
    return found
