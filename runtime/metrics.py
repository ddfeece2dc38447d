"""What an agent counts, as Prometheus text; a client library would cost a fifth of the start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

PREFIX = "cellnode_agent_"
BUCKETS_US = (100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000)

# Name: (kind, what it means, its labels). Every series carries the instance's id as well.
FAMILIES: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "executions_total": ("counter", "Requests that ran the cell, by status code.", ("code",)),
    "refused_total": ("counter", "Requests refused before the cell ran, by reason.", ("reason",)),
    "forks_total": ("counter", "Interpreters forked from the loaded checkpoint.", ()),
    "dropped_total": ("counter", "Requests whose client had gone before they ran.", ()),
    "execution_duration_seconds": ("histogram", "Time that a request ran the cell.", ()),
    "waiting": ("gauge", "Requests that wait for their turn.", ()),
    "running": ("gauge", "Whether the cell runs.", ()),
    "ready": ("gauge", "Whether requests are taken.", ()),
    "connections": ("gauge", "Connections that are open.", ()),
}


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
        """In Prometheus' text format; `gauges` are what holds at this moment."""
        own = f'instance_id="{instance}"'
        lines = [
            *_family("executions_total", _labelled(own, "code", self.executions)),
            *_family("refused_total", _labelled(own, "reason", self.refused)),
            *_family("forks_total", [(own, self.forks)]),
            *_family("dropped_total", [(own, self.dropped)]),
            *self._durations(own),
        ]
        for name, value in gauges.items():
            lines += _family(name, [(own, value)])
        return "\n".join(lines) + "\n"

    def _durations(self, own: str) -> list[str]:
        name = "execution_duration_seconds"
        lines, below = _family(name, []), 0
        for bound, count in zip(BUCKETS_US, self.buckets, strict=True):
            below += count
            lines.append(f'{PREFIX}{name}_bucket{{{own},le="{bound / 1e6:g}"}} {below}')
        total = sum(self.executions.values())
        return [
            *lines,
            f'{PREFIX}{name}_bucket{{{own},le="+Inf"}} {total}',
            f"{PREFIX}{name}_sum{{{own}}} {self.execution_us / 1e6}",
            f"{PREFIX}{name}_count{{{own}}} {total}",
        ]


def _labelled(own: str, label: str, counts: Mapping[int, int] | Mapping[str, int]) -> list[Pair]:
    return [(f'{own},{label}="{value}"', count) for value, count in counts.items()]


Pair = tuple[str, int]  # The labels as they stand between the braces, and the number.


def _family(name: str, pairs: Iterable[Pair]) -> list[str]:
    kind, what, _ = FAMILIES[name]
    lines = [f"{PREFIX}{name}{{{labels}}} {value}" for labels, value in pairs]
    return [f"# HELP {PREFIX}{name} {what}", f"# TYPE {PREFIX}{name} {kind}", *lines]
