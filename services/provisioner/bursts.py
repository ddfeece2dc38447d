"""Of many commands to one node only the last counts: what they want is planned for together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.chassis.clock import Clock

MEMORY_SECONDS = 2.0  # Who was commanded within so long, and is again, may be in a burst.
HELD_SECONDS_MAX = 2.0  # Then the newest spec is planned for, though the burst goes on.
LOOK_AGAIN_SECONDS = 0.02
KNOWN_MAX = 4096  # Nodes that are remembered before those that are quiet are forgotten.


@dataclass
class _Commanded:
    last: float
    held_since: float | None = None  # Nobody waits for the first command of a node.


class Bursts:
    """Whether a node's next pass should wait for commands that are still to be decided.

    `at_hand` tells how many wait in the node's partition. Each superseded revision that is not
    started leaves the processors to the decisions.
    """

    def __init__(self, at_hand: Callable[[str], int], clock: Clock) -> None:
        self._at_hand = at_hand
        self._clock = clock
        self._of: dict[str, _Commanded] = {}

    def came(self, place: str) -> None:
        """A command about the node was decided."""
        now = self._clock.monotonic()
        known = self._of.get(place)
        if known is None or now - known.last > MEMORY_SECONDS:
            self._tidy(now)
            self._of[place] = _Commanded(now)
            return
        known.last = now
        if known.held_since is None:
            known.held_since = now

    def wait_seconds(self, place: str) -> float:
        """0 when the node may be planned for."""
        known = self._of.get(place)
        if known is None or known.held_since is None:
            return 0.0
        left = known.held_since + HELD_SECONDS_MAX - self._clock.monotonic()
        if left > 0 and self._at_hand(place):
            return min(left, LOOK_AGAIN_SECONDS)
        known.held_since = None
        return 0.0

    def _tidy(self, now: float) -> None:
        if len(self._of) >= KNOWN_MAX:
            self._of = {
                place: known
                for place, known in self._of.items()
                if now - known.last <= MEMORY_SECONDS
            }
