"""Prometheus metrics of one process, named `cellnode_<service>_…`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from services.chassis.metrics_text import Family, Observed, Sample, histogram, samples_of

SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

disable_created_metrics()  # type: ignore[no-untyped-call]  # Twice the series, for what nobody asks.


class Metrics:
    """The only registry of a process: what is made here is what `/metrics` shows."""

    content_type = CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self, service: str) -> None:
        self._prefix = f"cellnode_{service}"
        self._registry = CollectorRegistry()
        self._written: list[Callable[[], Iterable[str]]] = []
        self.families: list[Family] = []  # In the order in which they were made.
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def counter(self, name: str, what: str, labels: Sequence[str] = ()) -> Counter:
        """`name` without `_total`, which Prometheus' client adds."""
        family = self._made(f"{name}_total", "counter", what, labels)
        return Counter(family.name, what, labels, registry=self._registry)

    def gauge(self, name: str, what: str, labels: Sequence[str] = ()) -> Gauge:
        family = self._made(name, "gauge", what, labels)
        return Gauge(family.name, what, labels, registry=self._registry)

    def seconds(
        self,
        name: str,
        what: str,
        labels: Sequence[str] = (),
        buckets: Sequence[float] = SECONDS_BUCKETS,
    ) -> Histogram:
        """A histogram of durations; `name` without `_seconds`, which is added."""
        family = self._made(f"{name}_seconds", "histogram", what, labels)
        return Histogram(family.name, what, labels, buckets=buckets, registry=self._registry)

    # What others hold, and is only written down here: its series come and go with it.

    def read_counter(
        self, name: str, what: str, labels: Sequence[str], read: Callable[[], Iterable[Sample]]
    ) -> None:
        """`name` without `_total`; `read` tells values of labels, and how many."""
        family = self._made(f"{name}_total", "counter", what, labels)
        self._written.append(lambda: samples_of(family, read()))

    def read_gauge(
        self, name: str, what: str, labels: Sequence[str], read: Callable[[], Iterable[Sample]]
    ) -> None:
        family = self._made(name, "gauge", what, labels)
        self._written.append(lambda: samples_of(family, read()))

    def read_seconds(
        self,
        name: str,
        what: str,
        labels: Sequence[str],
        read: Callable[[], Iterable[Observed]],
        *,
        buckets: Sequence[float] = SECONDS_BUCKETS,
    ) -> None:
        """`name` without `_seconds`; `read` tells values of labels, counts by bucket, and a sum."""
        family = self._made(f"{name}_seconds", "histogram", what, labels)
        self._written.append(lambda: histogram(family, buckets, read()))

    def text(self) -> bytes:
        """All of it, in Prometheus' text format."""
        lines = [line for written in self._written for line in written()]
        return generate_latest(self._registry) + "".join(f"{line}\n" for line in lines).encode()

    def _made(self, name: str, kind: str, what: str, labels: Sequence[str]) -> Family:
        family = Family(f"{self._prefix}_{name}", kind, what, tuple(labels))
        if any(known.name == family.name for known in self.families):
            raise ValueError(f"{family.name} is there already")
        self.families.append(family)
        return family
