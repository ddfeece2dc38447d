"""How long an instance that failed is avoided, for this gateway alone; it is not a status. Pure."""

from __future__ import annotations

AVOID_SECONDS_MIN = 0.1
AVOID_SECONDS_MAX = 5.0
DOUBLINGS_MAX = 10


def avoid_seconds(failures_in_a_row: int) -> float:
    """Doubles with every failure in a row, from AVOID_SECONDS_MIN to AVOID_SECONDS_MAX."""
    doublings = min(max(failures_in_a_row - 1, 0), DOUBLINGS_MAX)
    return float(min(AVOID_SECONDS_MAX, AVOID_SECONDS_MIN * 2**doublings))
