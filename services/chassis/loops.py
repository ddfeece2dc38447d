"""Loops: keyed wake-ups with resync and growing back-off, and plain repetition."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Hashable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from schemas.errors import TransientError
from services.chassis.clock import SYSTEM_CLOCK, Clock
from services.chassis.endings import ended
from services.chassis.telemetry import logger

K = TypeVar("K", bound=Hashable)

log = logger("chassis.loops")


@dataclass(frozen=True)
class Backoff:
    """Delays that double from `first_seconds` up to `longest_seconds`, jittered."""

    first_seconds: float = 0.1
    longest_seconds: float = 60.0

    def delay_seconds(self, failures: int, clock: Clock) -> float:
        """Before the try that follows this many failures in a row (1 or more)."""
        grown = self.first_seconds * 2.0 ** min(failures - 1, 32)
        return clock.jittered(min(grown, self.longest_seconds))


@dataclass(frozen=True)
class Pace:
    """The limits of a keyed loop."""

    in_flight_max: int = 8  # Keys acted on side by side; one key never twice at once.
    between_seconds: float = 0.02  # Least time between two passes of one key.
    resync_seconds: float = 15.0  # Every key is woken this often without a reason.
    backoff: Backoff = Backoff()


class KeyedLoop(Generic[K]):
    """Calls `act(key)` for keys that were woken: fair, stingy, one pass of a key at a time.

    A key woken many times while it waits is acted on once; woken while it is acted on, once more
    afterwards. `act` may return seconds after which it wants the key again. When it raises, the
    key is tried again after a delay that grows until a pass succeeds; other keys do not notice.
    """

    def __init__(
        self,
        name: str,
        act: Callable[[K], Awaitable[float | None]],
        *,
        keys: Callable[[], Iterable[K]] = tuple,
        pace: Pace = Pace(),
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._name = name
        self._act = act
        self._keys = keys
        self._pace = pace
        self._clock = clock
        self._due: dict[K, float] = {}  # When a waiting key may be acted on, monotonic.
        self._order: list[tuple[float, int, K]] = []
        self._counted = 0
        self._acting: dict[K, asyncio.Task[None]] = {}
        self._failures: dict[K, int] = {}
        self._changed = asyncio.Event()

    def wake(self, key: K, after_seconds: float = 0.0, *, fresh: bool = False) -> None:
        """Ask for a pass of this key; an earlier wish stays, and so does a back-off.

        `fresh` says that something new was wanted, which makes past failures moot.
        """
        earliest = self._clock.monotonic() + after_seconds
        if fresh:
            self._failures.pop(key, None)
        if key in self._failures and key in self._due:
            return  # Its delay is the point; the pass that follows sees everything.
        known = self._due.get(key)
        if known is None or earliest < known:
            self._schedule(key, earliest)

    def wake_all(self) -> None:
        for key in self._keys():
            self.wake(key)

    def forget(self, key: K) -> None:
        """Drop what is known of a key that is gone."""
        self._due.pop(key, None)
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """Failed passes in a row."""
        return self._failures.get(key, 0)

    async def run(self) -> None:
        """Until cancelled; then passes under way are cancelled too, and waited for."""
        resync_at = self._clock.monotonic()
        try:
            while True:
                self._changed.clear()
                now = self._clock.monotonic()
                if now >= resync_at:
                    self.wake_all()
                    resync_at = now + self._clock.jittered(self._pace.resync_seconds)
                self._start_due(now)
                await self._wait(min(resync_at, self._next_due()) - now)
        finally:
            await self._cancel_acting()

    def _schedule(self, key: K, at: float) -> None:
        self._due[key] = at
        self._counted += 1
        heapq.heappush(self._order, (at, self._counted, key))
        self._changed.set()

    def _start_due(self, now: float) -> None:
        while self._order and len(self._acting) < self._pace.in_flight_max:
            at, _, key = self._order[0]
            if self._due.get(key) != at:  # Forgotten, or wished for earlier since.
                heapq.heappop(self._order)
            elif at > now:
                return
            else:
                heapq.heappop(self._order)
                self._start(key)

    def _start(self, key: K) -> None:
        del self._due[key]
        if key in self._acting:  # Once more, when the present pass is done.
            self._due[key] = float("inf")
            return
        self._acting[key] = asyncio.create_task(self._pass(key), name=f"{self._name}:{key}")

    async def _pass(self, key: K) -> None:
        again: float | None = None
        try:
            again = await self._act(key)
            self._failures.pop(key, None)
        except asyncio.CancelledError:
            raise
        except TransientError as error:
            again = self._failed(key)
            log.warning("pass failed", loop=self._name, key=str(key), error=str(error))
        except Exception:
            again = self._failed(key)
            log.exception("pass failed unexpectedly", loop=self._name, key=str(key))
        finally:
            del self._acting[key]
            self._changed.set()
        self._after(key, again)

    def _failed(self, key: K) -> float:
        self._failures[key] = self._failures.get(key, 0) + 1
        return self._pace.backoff.delay_seconds(self._failures[key], self._clock)

    def _after(self, key: K, again: float | None) -> None:
        woken_meanwhile = key in self._due
        if again is None and not woken_meanwhile:
            return
        delay = again if again is not None else 0.0
        if woken_meanwhile and key not in self._failures:
            delay = 0.0
        self._schedule(key, self._clock.monotonic() + max(delay, self._pace.between_seconds))

    def _next_due(self) -> float:
        if not self._order or len(self._acting) >= self._pace.in_flight_max:
            return float("inf")
        return self._order[0][0]

    async def _wait(self, seconds: float) -> None:
        # Not `wait_for`: on Python 3.11 it loses a cancel that comes together with the wake-up.
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, min(seconds, 3600.0))):
                await self._changed.wait()

    async def _cancel_acting(self) -> None:
        await ended(list(self._acting.values()))


async def repeat(
    name: str,
    act: Callable[[], Awaitable[None]],
    seconds: float,
    *,
    clock: Clock = SYSTEM_CLOCK,
) -> None:
    """Call `act` now and about every `seconds`, for ever; a failure is logged and tried again."""
    while True:
        try:
            await act()
        except TransientError as error:
            log.warning("repetition failed", loop=name, error=str(error))
        except Exception:
            log.exception("repetition failed unexpectedly", loop=name)
        await clock.sleep(clock.jittered(seconds, share=0.1))


async def retry(
    act: Callable[[], Awaitable[None]],
    attempts_max: int,
    *,
    backoff: Backoff = Backoff(0.05, 2.0),
    clock: Clock = SYSTEM_CLOCK,
) -> int:
    """Call `act` until it does not raise TransientError, then tell how many tries it took."""
    for attempt in range(1, attempts_max + 1):
        try:
            await act()
        except TransientError:
            if attempt == attempts_max:
                raise
            await clock.sleep(backoff.delay_seconds(attempt, clock))
        else:
            return attempt
    raise AssertionError("attempts_max is at least 1")
