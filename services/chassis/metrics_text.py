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
    name = family.name
    for values, number in samples:
        pairs = labelled(family.labels, values)
        yield f"{name}{{{pairs}}} {number}" if pairs else f"{name} {number}"


def histogram(
    family: Family, bounds: Sequence[float], observed: Iterable[Observed]
) -> Iterator[str]:
    """The lines of a histogram; the last of the counts is of what lies above every bound."""
    yield from family.head()
    name = family.name
    edges = [f'le="{float(bound)}"' for bound in bounds] + ['le="+Inf"']
    for values, counts, total_seconds in observed:
        pairs = labelled(family.labels, values)
        before, only = (f"{pairs},", f"{{{pairs}}}") if pairs else ("", "")
        total = 0
        for edge, count in zip(edges, counts, strict=True):
            total += count
            yield f"{name}_bucket{{{before}{edge}}} {total}"
        yield f"{name}_sum{only} {total_seconds}"
        yield f"{name}_count{only} {total}"


def labelled(names: Sequence[str], values: Sequence[str]) -> str:
    """As they stand between the braces."""
    pairs = zip(names, values, strict=True)
    return ",".join([f'{name}="{escaped(value)}"' for name, value in pairs])


@lru_cache(maxsize=ESCAPED_MAX)
def escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
