"""What an agent counts, as Prometheus text; a client library would cost a fifth of the start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

BUCKETS_US = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)


class Metrics:
    """Counters of one agent's life."""

    def __init__(self) -> None:
        self.executions: Counter[int] = Counter()
        self.refused: Counter[str] = Counter()
        self.forks = 0
        self.dropped = 0
        self.execution_us = 0
        self.buckets = [0] * len(BUCKETS_US)

    def executed(self, status: int, execution_us: int) -> None:
        self.executions[status] += 1
        self.execution_us += execution_us
        for index, bound in enumerate(BUCKETS_US):
            if execution_us <= bound:
                self.buckets[index] += 1
                break

    def text(self, instance: str, gauges: Mapping[str, int]) -> str:
        lines = [
            *self._counters(instance),
            *self._histogram(instance),
        ]
        for name, value in gauges.items():
            lines += [f"# TYPE {name} gauge", f'{name}{{instance_id="{instance}"}} {value}']
        return "\n".join(lines) + "\n"

    def _counters(self, instance: str) -> list[str]:
        own = f'instance_id="{instance}"'
        executions, refused = "cellnode_executions_total", "cellnode_refused_total"
        return [
            f"# TYPE {executions} counter",
            *(f'{executions}{{{own},status="{s}"}} {n}' for s, n in self.executions.items()),
            f"# TYPE {refused} counter",
            *(f'{refused}{{{own},code="{c}"}} {n}' for c, n in self.refused.items()),
            "# TYPE cellnode_forks_total counter",
            f"cellnode_forks_total{{{own}}} {self.forks}",
            "# TYPE cellnode_dropped_total counter",
            f"cellnode_dropped_total{{{own}}} {self.dropped}",
        ]

    def _histogram(self, instance: str) -> list[str]:
        name, own = "cellnode_execution_seconds", f'instance_id="{instance}"'
        lines, below = [f"# TYPE {name} histogram"], 0
        for bound, count in zip(BUCKETS_US, self.buckets, strict=True):
            below += count
            lines.append(f'{name}_bucket{{{own},le="{bound / 1e6:g}"}} {below}')
        total = sum(self.executions.values())
        return [
            *lines,
            f'{name}_bucket{{{own},le="+Inf"}} {total}',
            f"{name}_sum{{{own}}} {self.execution_us / 1e6}",
            f"{name}_count{{{own}}} {total}",
        ]
