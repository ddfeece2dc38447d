"""What the gateway counts: plain numbers, written out only when somebody asks."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable

BUCKETS_SECONDS = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
_PREFIX = "cellnode_gateway"


class Measures:
    """Counters of one process; an increment is all that a call pays for them."""

    def __init__(self) -> None:
        self.by_status: Counter[int] = Counter()
        self.by_api_status: Counter[int] = Counter()
        self.buckets = [0] * (len(BUCKETS_SECONDS) + 1)
        self.seconds_sum = 0.0
        self.refused = 0  # By the gateway itself, for want of instances or room.
        self.resent = 0
        self.upstream_failures = 0
        self.values_refused = 0  # Of the projection, because they were corrupt.
        self.reloads = 0  # Of a partition of the projection.

    def answered(self, status: int, seconds: float) -> None:
        self.by_status[status] += 1
        self.buckets[bisect_left(BUCKETS_SECONDS, seconds)] += 1
        self.seconds_sum += seconds

    def text(self, gauges: dict[str, float]) -> bytes:
        """Prometheus' text format; `gauges` are what holds at this moment."""
        lines = _series("requests_total", "counter", _by_code(self.by_status))
        lines += self._durations()
        lines += _series("api_requests_total", "counter", _by_code(self.by_api_status))
        counters = ("refused", "resent", "upstream_failures", "values_refused", "reloads")
        for name in counters:
            lines += _series(f"{name}_total", "counter", [("", getattr(self, name))])
        for name, value in gauges.items():
            lines += _series(name, "gauge", [("", value)])
        return ("\n".join(lines) + "\n").encode()

    def _durations(self) -> list[str]:
        name, total, pairs = "request_duration_seconds", 0, list[tuple[str, float]]()
        for bound, count in zip((*BUCKETS_SECONDS, "+Inf"), self.buckets, strict=True):
            total += count
            pairs.append((f'_bucket{{le="{bound}"}}', total))
        pairs += [("_sum", self.seconds_sum), ("_count", total)]
        return _series(name, "histogram", pairs)


def _by_code(counts: Counter[int]) -> list[tuple[str, float]]:
    return [(f'{{code="{code}"}}', count) for code, count in sorted(counts.items())]


def _series(name: str, kind: str, pairs: Iterable[tuple[str, float]]) -> list[str]:
    lines = [f"{_PREFIX}_{name}{suffix} {value}" for suffix, value in pairs]
    return [f"# TYPE {_PREFIX}_{name} {kind}", *lines]
