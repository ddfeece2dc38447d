"""Prometheus' text format for numbers that others hold: thousands of series in milliseconds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

Sample = tuple[tuple[str, ...], float]  # Values of the labels, and the number.
Observed = tuple[tuple[str, ...], Sequence[int], float]  # ... counts by bucket, and the sum.

ESCAPED_MAX = 16_384  # Label values that are remembered: they come with every scrape.


@dataclass(frozen=True)
class Family:
    """One metric: its name, and what it means to a person."""

    name: str
    kind: str  # counter, gauge or histogram.
    what: str
    labels: tuple[str, ...] = ()

    def head(self) -> list[str]:
        return [f"# HELP {self.name} {self.what}", f"# TYPE {self.name} {self.kind}"]


def samples_of(family: Family, samples: Iterable[Sample]) -> Iterator[str]:
    """The lines of a counter or gauge."""
    yield from family.head()
    line = f"{family.name}{_braced(_pairs(family))} %s"
    for values, number in samples:
        yield line % (*map(escaped, values), number)


def histogram(
    family: Family, bounds: Sequence[float], observed: Iterable[Observed]
) -> Iterator[str]:
    """The lines of a histogram; the last of the counts is of what lies above every bound."""
    yield from family.head()
    name, pairs = family.name, _pairs(family)
    edges = [f'le="{float(bound)}"' for bound in bounds] + ['le="+Inf"']
    buckets = [f"{name}_bucket{_braced([*pairs, edge])} %s" for edge in edges]
    total_lines = [f"{name}_{what}{_braced(pairs)} %s" for what in ("sum", "count")]
    lines = "\n".join([*buckets, *total_lines])
    for values, counts, total_seconds in observed:
        labels, numbers, total = tuple(map(escaped, values)), list[object](), 0
        for count in counts:
            total += count
            numbers += (*labels, total)
        yield lines % (*numbers, *labels, total_seconds, *labels, total)


def _pairs(family: Family) -> list[str]:
    """Its labels, with a place for the value of each."""
    return [f'{name}="%s"' for name in family.labels]


def _braced(pairs: Sequence[str]) -> str:
    return f"{{{','.join(pairs)}}}" if pairs else ""


@lru_cache(maxsize=ESCAPED_MAX)
def escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
