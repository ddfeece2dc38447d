"""The end of a partition whose last records are compacted away, so that none is left to tell it.

Tombstones go a while after they were written. Where one was the last of its partition, the end
that Kafka tells lies behind offsets that nobody will ever be given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

QUIET_READS_MIN = 2  # What a first one could miss, since it came at its very end, the next brings.


class Gaps:
    """Counts reads that asked about a partition and brought nothing of any."""

    def __init__(self, consumer: Callable[[], Any]) -> None:
        self._consumer = consumer
        self._asked: dict[Any, int | None] = {}
        self._quiet_reads: dict[Any, int] = {}

    def before(self, partitions: Iterable[Any]) -> None:
        """A read begins; these are not read to their end yet."""
        self._asked = {one: self._consumer().last_poll_timestamp(one) for one in partitions}

    def after(self, is_quiet: bool) -> dict[Any, int]:
        """The read is over: the ends of those partitions before which nothing is left."""
        assigned = self._consumer().assignment()
        counts = {
            one: self._quiet_reads.get(one, 0) + 1
            for one, then in self._asked.items()
            if is_quiet and one in assigned and self._was_asked(one, then)
        }
        self._quiet_reads = counts
        ends = {one: self._consumer().highwater(one) for one in counts}
        return {one: ends[one] for one, count in counts.items() if count >= QUIET_READS_MIN}

    def _was_asked(self, partition: Any, then: int | None) -> bool:
        """Kafka has told what there is of it since the read began, and before."""
        now = self._consumer().last_poll_timestamp(partition)
        return then is not None and now is not None and now != then
