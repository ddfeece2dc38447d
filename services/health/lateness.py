"""A checker that is itself late says nothing, and gives the others more time for a while."""

from __future__ import annotations

from dataclasses import dataclass, replace

SCORE_MAX = 8


@dataclass(frozen=True)
class Lateness:
    """How late this process has lately been. Pure: the caller measures."""

    late_seconds_max: float = 0.25  # Later than this is our fault, not the instance's.
    score: int = 0

    def heard(self, late_seconds: float) -> Lateness:
        """One measurement more: lateness costs a point, punctuality wins one back."""
        step = 1 if self.is_late(late_seconds) else -1
        return replace(self, score=max(0, min(SCORE_MAX, self.score + step)))

    def is_late(self, late_seconds: float) -> bool:
        return late_seconds > self.late_seconds_max

    def widened(self, timeout_seconds: float) -> float:
        """The timeout that is fair while this process is slow."""
        return timeout_seconds * (1 + self.score)
