"""Prometheus metrics of one process, named `cellnode_<service>_…`."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The only registry of a process: what is made here is what `/metrics` shows."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, service: str) -> None:
        self._prefix = f"cellnode_{service}"
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def counter(self, name: str, what: str, labels: Sequence[str] = ()) -> Counter:
        """`name` without `_total`, which Prometheus' client adds."""
        return Counter(f"{self._prefix}_{name}", what, labels, registry=self._registry)

    def gauge(self, name: str, what: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(f"{self._prefix}_{name}", what, labels, registry=self._registry)

    def seconds(
        self,
        name: str,
        what: str,
        labels: Sequence[str] = (),
        buckets: Sequence[float] = SECONDS_BUCKETS,
    ) -> Histogram:
        """A histogram of durations; `name` without `_seconds`, which is added."""
        full = f"{self._prefix}_{name}_seconds"
        return Histogram(full, what, labels, buckets=buckets, registry=self._registry)

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self._registry)
