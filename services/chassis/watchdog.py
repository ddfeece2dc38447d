"""Notices from outside the event loop that the loop stands still, and says where."""

from __future__ import annotations

import asyncio
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from services.chassis.clock import SYSTEM_CLOCK, Clock
from services.chassis.telemetry import logger

CHECK_SECONDS = 0.5
LATE_SECONDS = 1.0

log = logger("chassis.watchdog")


@contextmanager
def watchdog(
    *,
    on_late: Callable[[float], None] | None = None,
    on_turn: Callable[[float], None] | None = None,
    clock: Clock = SYSTEM_CLOCK,
    late_seconds: float = LATE_SECONDS,
) -> Iterator[None]:
    """While inside, a loop later than `late_seconds` is logged once with the stack it stands in.

    `on_turn` is told each time how long the loop has kept us waiting; both are called elsewhere.
    """
    watch = _Watch(asyncio.get_running_loop(), clock, late_seconds, on_late or _nothing)
    watch.on_turn = on_turn or _nothing
    thread = threading.Thread(target=watch.run, name="watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        watch.ended.set()
        thread.join(timeout=2 * CHECK_SECONDS)


class _Watch:
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        late_seconds: float,
        on_late: Callable[[float], None],
    ) -> None:
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._clock = clock
        self._late_seconds = late_seconds
        self._on_late = on_late
        self.on_turn: Callable[[float], None] = _nothing
        self._answered = threading.Event()
        self.ended = threading.Event()

    def run(self) -> None:
        while not self.ended.is_set():
            asked = self._clock.monotonic()
            if not self._ask() or self._answered.wait(self._late_seconds):
                self.on_turn(self._clock.monotonic() - asked)
                self.ended.wait(CHECK_SECONDS)
                continue
            self._report()
            while not self._answered.wait(CHECK_SECONDS) and not self.ended.is_set():
                continue
            late_seconds = self._clock.monotonic() - asked
            self.on_turn(late_seconds)
            self._on_late(late_seconds)

    def _ask(self) -> bool:
        """Whether the loop could be asked; not once it is closed."""
        self._answered.clear()
        try:
            self._loop.call_soon_threadsafe(self._answered.set)
        except RuntimeError:
            return False
        return True

    def _report(self) -> None:
        frame = sys._current_frames().get(self._loop_thread)
        stack = "".join(traceback.format_stack(frame)) if frame else ""
        log.error("event loop stands still", late_seconds=self._late_seconds, stack=stack)


def _nothing(_: float) -> None:
    return None
