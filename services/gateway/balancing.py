"""Which instance takes the next call, and how many may be sent ahead to it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

AHEAD_US = 1000.0  # Work that may wait at an instance, where it can no longer go elsewhere.
AHEAD_MAX = 16
SMOOTHING = 0.2  # The weight of the newest execution in the expectation.


class Load(Protocol):
    """What picking needs to know of an endpoint."""

    in_flight: int
    ahead_max: int
    expected_us: float


_Load = TypeVar("_Load", bound=Load)


def ahead_of(expected_us: float) -> int:
    """How many calls an instance may hold at once: about AHEAD_US of expected work."""
    if expected_us * AHEAD_MAX <= AHEAD_US:
        return AHEAD_MAX
    return int(AHEAD_US / expected_us) or 1


def smoothed(expected_us: float, seen_us: float) -> float:
    """The expectation after one more execution; 0 means that none was seen before."""
    if not expected_us:
        return seen_us
    return expected_us + SMOOTHING * (seen_us - expected_us)


def pick(endpoints: Sequence[_Load], roll: Callable[[], float]) -> _Load | None:
    """Idle first; else the one with less expected work of two with room; None when all are full."""
    count = len(endpoints)
    start = int(roll() * count)
    roomy: list[_Load] = []
    for place in range(start - count, start):
        endpoint = endpoints[place]
        if not endpoint.in_flight:
            return endpoint
        if endpoint.in_flight < endpoint.ahead_max:
            roomy.append(endpoint)
    if len(roomy) < 2:
        return roomy[0] if roomy else None
    first, second = roomy[0], roomy[1 if len(roomy) == 2 else 1 + int(roll() * (len(roomy) - 1))]
    if first.in_flight * first.expected_us <= second.in_flight * second.expected_us:
        return first
    return second
