"""What the journal knows of `usage` in one partition: the last of every key, bounded. Pure."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

from schemas.topics import DECLARATIONS, Topic
from services.chassis.bus_records import RawRecord

# The broker keeps 5 MiB of a partition: what is kept and what is new since it was told must fit.
USAGE_BYTES_MAX = 3 * 1024 * 1024
TOLD_AGAIN_BYTES = 1024 * 1024
RECORD_OVERHEAD_BYTES = 150  # Headers and the batch around one record, about.
_KEPT_MS = DECLARATIONS[Topic.USAGE].retention_ms or 0


@dataclass
class Usage:
    """The oldest go when they are too old or too many."""

    entries: OrderedDict[str, RawRecord] = field(default_factory=OrderedDict)
    bytes: int = 0
    bytes_since_told: int = 0

    def add(self, raw: RawRecord) -> None:
        key = (raw.key or b"").decode(errors="replace")
        self.bytes_since_told += size_of(raw)
        if key in self.entries:
            self._drop(key)
        if raw.value is None:
            return
        self.entries[key] = raw
        self.bytes += size_of(raw)
        while len(self.entries) > 1 and self._has_too_much(raw.timestamp_ms or 0):
            self._drop(next(iter(self.entries)))

    @property
    def is_being_forgotten(self) -> bool:
        """So much was written that the broker is about to forget what it was told."""
        return self.bytes_since_told > TOLD_AGAIN_BYTES

    def told_again(self) -> list[RawRecord]:
        """All of it, for the broker; it comes by here again, and then counts as nothing new."""
        self.bytes_since_told = -self.bytes
        return list(self.entries.values())

    def _has_too_much(self, now_ms: int) -> bool:
        oldest_ms = next(iter(self.entries.values())).timestamp_ms or now_ms
        return self.bytes > USAGE_BYTES_MAX or oldest_ms < now_ms - _KEPT_MS

    def _drop(self, key: str) -> None:
        self.bytes -= size_of(self.entries.pop(key))


def size_of(raw: RawRecord) -> int:
    """About what the broker needs for it."""
    return RECORD_OVERHEAD_BYTES + len(raw.key or b"") + len(raw.value or b"")
