"""Where an instance stands: one phase at a time, numbered, with the last ones remembered."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

HISTORY_MAX = 20
STARTED, PREPARING, READY = "started", "preparing", "ready"
BROKEN, FAILED, DRAINING = "broken", "failed", "draining"

Listener = Callable[[], None]


class Phases:
    """The phase of an instance, and who waits for the next one."""

    def __init__(self) -> None:
        self.seq = 0
        self.current: dict[str, Any] = {}
        self.history: deque[dict[str, Any]] = deque(maxlen=HISTORY_MAX)
        self.listeners: set[Listener] = set()

    @property
    def phase(self) -> str:
        return str(self.current.get("phase", ""))

    @property
    def is_ready(self) -> bool:
        return self.phase == READY

    def enter(
        self, phase: str, sentence: str, *, reason: str | None = None, **evidence: str
    ) -> None:
        self.seq += 1
        self.current = {
            "seq": self.seq,
            "phase": phase,
            "reason": reason,
            "sentence": sentence,
            "evidence": evidence,
        }
        self.history.append({**self.current, "at": _now()})
        for listener in list(self.listeners):
            listener()

    def document(self) -> dict[str, Any]:
        return {**self.current, "history": list(self.history)}


def _now() -> str:
    seconds = time.time()
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds * 1e6) % 1_000_000:06d}Z"
