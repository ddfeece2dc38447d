"""The only queue: calls of one node that wait for room at one of its instances."""

from __future__ import annotations

from typing import Generic, TypeVar

_Waiting = TypeVar("_Waiting")


class Queue(Generic[_Waiting]):
    """First in, first out, bounded; whoever gives up leaves without disturbing the order."""

    def __init__(self, places_max: int) -> None:
        self.places_max = places_max
        self.waiting: dict[_Waiting, None] = {}

    def __len__(self) -> int:
        return len(self.waiting)

    def enter(self, call: _Waiting) -> bool:
        """False when all places are taken: the caller refuses at once."""
        if len(self.waiting) >= self.places_max:
            return False
        self.waiting[call] = None
        return True

    def leave(self, call: _Waiting) -> None:
        self.waiting.pop(call, None)

    def first(self) -> _Waiting | None:
        return next(iter(self.waiting), None)

    def take_all(self) -> list[_Waiting]:
        waiting = list(self.waiting)
        self.waiting.clear()
        return waiting
