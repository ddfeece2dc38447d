"""Rows of a benchmark: `name value target ok|short`, and the exit code that they add up to."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TextIO


@dataclass(frozen=True)
class Row:
    """One figure. Without a target it is only stated; without a value it is short."""

    name: str  # Ends in its unit.
    value: float | None
    at_most: float | None = None
    at_least: float | None = None

    @property
    def target(self) -> str:
        if self.at_most is not None:
            return f"<={self.at_most:g}"
        return "-" if self.at_least is None else f">={self.at_least:g}"

    @property
    def verdict(self) -> str:
        if self.value is None:
            return "short"
        too_much = self.at_most is not None and self.value > self.at_most
        too_little = self.at_least is not None and self.value < self.at_least
        return "short" if too_much or too_little else "ok"

    def __str__(self) -> str:
        value = "none" if self.value is None else f"{self.value:.4g}"
        return f"{self.name:<44} {value:>10} {self.target:>8} {self.verdict}"


def finish(rows: Iterable[Row], stream: TextIO | None = None) -> int:
    """Print all rows, last of everything; 1 if one is short."""
    known = list(rows)
    for row in known:
        print(row, file=stream or sys.stdout, flush=True)
    return int(any(row.verdict == "short" for row in known))


def median(values: list[float]) -> float | None:
    return percentile(values, 50)


def percentile(values: list[float], percent: float) -> float | None:
    """The smallest value that so many percent do not exceed; None of no values."""
    ordered = sorted(values)
    if not ordered:
        return None
    place = min(len(ordered) - 1, max(0, -(-len(ordered) * percent // 100) - 1))
    return ordered[int(place)]
