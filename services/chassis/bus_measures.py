"""What a process measures of the bus: what became of records, how soon, and what still waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from aiokafka.errors import KafkaError

from services.chassis.clock import Clock
from services.chassis.loops import repeat
from services.chassis.metrics import Metrics
from services.chassis.metrics_text import Sample

LAG_SECONDS = 2.0  # Between two looks.
ASK_TIMEOUT_SECONDS = 2.0

Lags = dict[tuple[str, int], int]


class BusMeasures:
    """One of each per process."""

    def __init__(self, metrics: Metrics) -> None:
        self.records = metrics.counter(
            "records",
            "Records by what became of them. By a handler: handled, forwarded or buried. "
            "By a table: read, and of those unreadable.",
            ["topic", "fate"],
        )
        self.seconds = metrics.seconds(
            "record_duration", "Processing time of a record, from read to committed.", ["topic"]
        )
        self.fold_seconds = metrics.seconds(
            "fold_duration", "Processing time of what one read brings to a table.", ["topic"]
        )
        self.dead_letters = metrics.counter(
            "dead_letters",
            "Records put aside; source: the delivery to a handler, or a table that is folded.",
            ["topic", "source"],
        )
        self.failures = metrics.counter(
            "bus_producer_failures", "Sends that Kafka refused or did not acknowledge in time."
        )
        self.replacements = metrics.counter(
            "bus_producer_replacements", "Producers given up for a new one."
        )
        self.rebalances = metrics.counter(
            "bus_rebalances", "Assignments of partitions that a group has made."
        )
        self._lags: dict[object, Lags] = {}  # By reader.
        metrics.read_gauge(
            "bus_lag_records",
            "Records behind the last that was read, of each partition that is read here.",
            ["topic", "partition"],
            self._read_lags,
        )

    async def follow_lag(self, consumer: Callable[[], Any], clock: Clock) -> None:
        """Until cancelled; what is no longer assigned has no lag."""
        reader = object()

        async def look() -> None:
            self._lags[reader] = await _lags_of(consumer())

        try:
            await repeat("bus.lag", look, LAG_SECONDS, clock=clock)
        finally:
            self._lags.pop(reader, None)

    def _read_lags(self) -> Iterator[Sample]:
        """A topic that is read twice lags as its slower reader does."""
        slowest: Lags = {}
        for lags in list(self._lags.values()):
            for place, lag in lags.items():
                slowest[place] = max(lag, slowest.get(place, 0))
        for (topic, partition), lag in sorted(slowest.items()):
            yield (topic, str(partition)), lag


async def _lags_of(consumer: Any) -> Lags:
    """Of the partitions whose end and position are known."""
    assigned = [] if consumer is None else list(consumer.assignment())
    ends = await _ends(consumer, assigned) if assigned else {}
    lags: Lags = {}
    for one, end in ends.items():
        position = await _position(consumer, one)
        if position is not None:
            lags[one.topic, one.partition] = max(0, end - position)
    return lags


async def _ends(consumer: Any, assigned: Sequence[Any]) -> dict[Any, int]:
    """As the brokers tell: what a slow reader has heard is as old as its last read.

    While they are away, there is nothing better.
    """
    known = {one: consumer.highwater(one) for one in assigned}
    try:
        return dict(await asyncio.wait_for(consumer.end_offsets(assigned), ASK_TIMEOUT_SECONDS))
    except (KafkaError, asyncio.TimeoutError):
        return {one: end for one, end in known.items() if end is not None}


async def _position(consumer: Any, partition: Any) -> int | None:
    """None where it is not known, or not assigned any more."""
    try:
        return int(await asyncio.wait_for(consumer.position(partition), ASK_TIMEOUT_SECONDS))
    except (KafkaError, asyncio.TimeoutError):
        return None
