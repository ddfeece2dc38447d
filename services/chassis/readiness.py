"""Readiness as named conditions, so that "why is it not ready?" is one call."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Condition:
    """One thing that must hold before the process may be given work."""

    name: str
    is_met: bool = False
    sentence: str = "not reached yet"

    def met(self, sentence: str = "") -> None:
        self.is_met, self.sentence = True, sentence

    def unmet(self, sentence: str) -> None:
        self.is_met, self.sentence = False, sentence

    def tell(self, trouble: str) -> None:
        """Met while there is none."""
        self.is_met, self.sentence = not trouble, trouble


class Readiness:
    """All conditions of a process. It is ready when every one is met and it is not stopping."""

    def __init__(self) -> None:
        self._conditions: dict[str, Condition] = {}
        self._is_stopping = False

    def require(self, name: str) -> Condition:
        """The condition of this name, made unmet if it is new."""
        return self._conditions.setdefault(name, Condition(name))

    def stopping(self) -> None:
        """From now on never ready again."""
        self._is_stopping = True

    @property
    def is_ready(self) -> bool:
        return not self._is_stopping and all(one.is_met for one in self._conditions.values())

    def told(self) -> dict[str, object]:
        """The body of /readyz."""
        conditions = [
            {"name": one.name, "met": one.is_met, "sentence": one.sentence}
            for one in self._conditions.values()
        ]
        return {"ready": self.is_ready, "stopping": self._is_stopping, "conditions": conditions}
