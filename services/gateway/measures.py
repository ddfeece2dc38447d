"""What the gateway counts: plain numbers, written out only when somebody asks."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Protocol

from services.chassis.metrics import Metrics
from services.chassis.metrics_text import Observed, Sample

BUCKETS_SECONDS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
NO_NODE = ""  # Calls of names that are nobody's, and of the gateway's own pages.
GONE_CLIENT = 499
OTHER = "other"  # A cell may answer with any number; only known ones get a series.
_CODES = {GONE_CLIENT, *(status.value for status in HTTPStatus)}


class NodeCounts:
    """The calls of one node; an increment is all that a call pays for them."""

    __slots__ = ("buckets", "codes", "refused", "seconds_sum")

    def __init__(self) -> None:
        self.codes: Counter[int] = Counter({HTTPStatus.OK.value: 0})
        self.buckets = [0] * (len(BUCKETS_SECONDS) + 1)
        self.seconds_sum = 0.0
        # By the gateway itself, for want of instances or room: by problem code.
        self.refused: Counter[str] = Counter({"no-healthy-instance": 0, "queue-full": 0})

    def answered(self, status: int, seconds: float) -> None:
        self.codes[status] += 1
        self.buckets[bisect_left(BUCKETS_SECONDS, seconds)] += 1
        self.seconds_sum += seconds


class Routed(Protocol):
    """What is read of a node while it is known here."""

    @property
    def counts(self) -> NodeCounts: ...

    @property
    def waiting(self) -> int: ...


class Site(Protocol):
    """What is read of the gateway."""

    @property
    def nodes(self) -> Mapping[str, Routed]: ...

    def active(self) -> Mapping[str, int]: ...  # Calls taken on and not ended, by node.

    def gauges(self) -> Mapping[str, float]: ...  # What holds at this moment.


class Measures:
    """Counters of one process; those of a node go with it."""

    site: Site  # Given by who wires the service.

    def __init__(self, metrics: Metrics) -> None:
        self.no_node = NodeCounts()
        self.by_api_status: Counter[int] = Counter()
        self.resent = 0
        self.upstream_failures = 0
        self.values_refused = 0  # Of the projection, because they were corrupt.
        self.reloads = 0  # Of a partition of the projection.
        self._read_calls(metrics)
        self._read_counters(metrics)
        self._read_gauges(metrics)

    def _read_calls(self, metrics: Metrics) -> None:
        of_node = "no name: calls of no known node, and of the gateway's own pages"
        metrics.read_counter(
            "requests",
            f"Answers by node and status code; {of_node}.",
            ["node", "code"],
            self._codes,
        )
        metrics.read_seconds(
            "request_duration",
            "From the first byte of a request to the last byte of its answer.",
            ["node"],
            self._durations,
            buckets=BUCKETS_SECONDS,
        )
        metrics.read_counter(
            "requests_refused",
            "Refused by the gateway itself, for want of instances or room.",
            ["node", "reason"],
            self._refused,
        )
        metrics.read_gauge(
            "requests_in_flight",
            "Sent to an instance and not answered to the end; those queued not included.",
            ["node"],
            self._in_flight,
        )
        metrics.read_gauge(
            "requests_queued", "Waiting for room at an instance.", ["node"], self._queued
        )

    def _read_counters(self, metrics: Metrics) -> None:
        def read(name: str, what: str, field: str) -> None:
            metrics.read_counter(name, what, [], lambda: [((), getattr(self, field))])

        read("requests_resent", "Attempts after the first of a call.", "resent")
        read("upstream_failures", "Connections to instances that broke.", "upstream_failures")
        read(
            "projection_values_refused",
            "Values of the projection that could not be read; what was known before stays.",
            "values_refused",
        )
        read("projection_reloads", "Partitions of the projection that were read anew.", "reloads")
        metrics.read_counter(
            "api_requests",
            "Requests passed on to the api, by status code.",
            ["code"],
            lambda: [((code,), count) for code, count in _told(self.by_api_status)],
        )

    def _read_gauges(self, metrics: Metrics) -> None:
        def read(name: str, what: str, field: str = "") -> None:
            field = field or name
            metrics.read_gauge(name, what, [], lambda: [((), self.site.gauges()[field])])

        read("api_requests_in_flight", "Requests that the api has not answered.", "api_requests")
        read("connections", "Connections of clients.")
        read("held_bytes", "Bytes of request bodies that are being read or wait.")
        read("nodes", "Nodes in the local copy.")
        read("endpoints", "Instances that calls are routed to.")
        read(
            "projection_age_seconds",
            "Age of the partition that was confirmed longest ago; before all were seen, "
            "since the start.",
        )
        metrics.read_gauge(
            "projection_partitions",
            "Partitions of the projection that were seen, and that there are.",
            ["state"],
            self._partitions,
        )

    # What is read when somebody asks.

    def _counts(self) -> Iterator[tuple[str, NodeCounts]]:
        yield NO_NODE, self.no_node
        for place, node in self.site.nodes.items():
            yield place, node.counts

    def _codes(self) -> Iterator[Sample]:
        for place, counts in self._counts():
            for code, count in _told(counts.codes):
                yield (place, code), count

    def _durations(self) -> Iterator[Observed]:
        for place, counts in self._counts():
            yield (place,), counts.buckets, counts.seconds_sum

    def _refused(self) -> Iterator[Sample]:
        for place, counts in self._counts():
            for reason, count in counts.refused.items():
                yield (place, reason), count

    def _in_flight(self) -> Iterator[Sample]:
        active = self.site.active()
        for place, node in self.site.nodes.items():
            yield (place,), active.get(place, 0) - node.waiting

    def _queued(self) -> Iterator[Sample]:
        for place, node in self.site.nodes.items():
            yield (place,), node.waiting

    def _partitions(self) -> Iterator[Sample]:
        gauges = self.site.gauges()
        for state in ("seen", "wanted"):
            yield (state,), gauges[f"partitions_{state}"]


def _told(codes: Mapping[int, int]) -> Iterator[tuple[str, int]]:
    others = 0
    for code, count in sorted(codes.items()):
        if code in _CODES:
            yield str(code), count
        else:
            others += count
    if others:
        yield OTHER, others
