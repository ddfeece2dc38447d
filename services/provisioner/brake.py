"""The mass-failure brake: when many fall silent at once, the fault may be ours."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta

from services.provisioner.plan import Action, Replace, Wait

WINDOW = timedelta(seconds=60)
SHARE = 0.3


def silent_max(want: int) -> int:
    """So many silent instances of a node may be replaced within one window."""
    return max(1, int(want * SHARE))


class Brake:
    """Strikes out replacements of silent instances beyond the limit of a window.

    In memory: after a restart of the provisioner a window begins anew.
    """

    def __init__(self) -> None:
        self._replaced: deque[datetime] = deque()

    def hold(self, actions: Sequence[Action], want: int, now: datetime) -> list[Action]:
        """The actions that may be done now; what is struck out is looked at again later."""
        while self._replaced and self._replaced[0] <= now - WINDOW:
            self._replaced.popleft()
        allowed = silent_max(want) - len(self._replaced)
        kept: list[Action] = []
        for action in actions:
            if isinstance(action, Replace) and action.is_silent:
                allowed -= 1
                if allowed < 0:
                    continue
            kept.append(action)
        if allowed < 0:
            kept.append(Wait(self._next(now)))
        return kept

    def remember(self, now: datetime) -> None:
        """A silent instance was replaced."""
        self._replaced.append(now)

    def _next(self, now: datetime) -> datetime:
        return (self._replaced[0] if self._replaced else now) + WINDOW
