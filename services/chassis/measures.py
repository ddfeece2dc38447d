"""What every process measures of itself, whatever it does."""

from __future__ import annotations

from collections import deque

from services.chassis.metrics import Metrics

LAGS_KEPT = 120  # The watchdog asks twice a second, so a scrape a minute misses none.


class ProcessMeasures:
    """One of each per process."""

    def __init__(self, metrics: Metrics) -> None:
        self.lags: deque[float] = deque(maxlen=LAGS_KEPT)  # Written by the watchdog's thread.
        metrics.read_gauge(
            "loop_lag_seconds",
            "The longest that the event loop kept somebody waiting in the last minute.",
            [],
            lambda: [((), max(list(self.lags), default=0.0))],
        )
