"""Keyed loops: fair, stingy, one pass of a key at a time, growing delays after failures."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from schemas.errors import StoreUnavailable, TransientError
from services.chassis.clock import Clock
from services.chassis.loops import Backoff, KeyedLoop, Pace, repeat, retry

Until = Callable[..., Awaitable[None]]
Start = Callable[[Awaitable[None]], object]
QUICK = Pace(between_seconds=0.0, resync_seconds=60, backoff=Backoff(0.01, 0.05))


class Acts:
    """Counts passes; holds them while `gate` is shut, fails as often as it is told to."""

    def __init__(self, failures: int = 0, error: Exception | None = None) -> None:
        self.counted: Counter[str] = Counter()
        self.order: list[str] = []
        self.failures = failures
        self.error = error or TransientError("not ready")
        self.gate = asyncio.Event()
        self.gate.set()
        self.at_once: Counter[str] = Counter()
        self.at_once_most = 0

    async def __call__(self, key: str) -> None:
        self.at_once[key] += 1
        assert self.at_once[key] == 1, "one key, twice at once"
        self.at_once_most = max(self.at_once_most, self.at_once.total())
        try:
            self.counted[key] += 1
            self.order.append(key)
            await self.gate.wait()
            if self.counted[key] <= self.failures:
                raise self.error
        finally:
            self.at_once[key] -= 1


async def test_a_key_woken_often_is_acted_on_once(tasks: Start, until: Until) -> None:
    loop = KeyedLoop("test", acts := Acts(), pace=QUICK)
    for _ in range(100):
        loop.wake("a")
    tasks(loop.run())
    await until(lambda: acts.counted)
    await asyncio.sleep(0.05)
    assert acts.counted == {"a": 1}


async def test_a_key_woken_during_its_pass_gets_one_more(tasks: Start, until: Until) -> None:
    """No wake-up is lost: what changed during a pass is seen by the next."""
    loop = KeyedLoop("test", acts := Acts(), pace=QUICK)
    acts.gate.clear()
    tasks(loop.run())
    loop.wake("a")
    await until(lambda: acts.counted["a"] == 1)
    for _ in range(10):
        loop.wake("a")
    acts.gate.set()
    await until(lambda: acts.counted["a"] == 2)
    await asyncio.sleep(0.05)
    assert acts.counted["a"] == 2


async def test_keys_take_turns_and_no_more_run_at_once_than_allowed(
    tasks: Start, until: Until
) -> None:
    pace = Pace(in_flight_max=3, between_seconds=0.0, resync_seconds=60)
    loop = KeyedLoop("test", acts := Acts(), pace=pace)
    keys = [f"k{number}" for number in range(20)]
    for key in keys:
        loop.wake(key)
    tasks(loop.run())
    await until(lambda: len(acts.order) == 20)
    assert acts.order == keys
    assert acts.at_once_most <= 3


@pytest.mark.parametrize("error", [StoreUnavailable("away"), KeyError("bug")])
async def test_a_key_that_fails_is_tried_again_and_others_do_not_notice(
    tasks: Start, until: Until, error: Exception
) -> None:
    loop = KeyedLoop("test", acts := Acts(3, error), pace=QUICK)
    tasks(loop.run())
    loop.wake("bad")
    await until(lambda: acts.counted["bad"] == 4)
    assert loop.failures("bad") == 0


async def test_wake_ups_do_not_shorten_a_delay_but_a_fresh_wish_does(
    tasks: Start, until: Until
) -> None:
    slow = Pace(between_seconds=0.0, resync_seconds=60, backoff=Backoff(30, 60))
    loop = KeyedLoop("test", acts := Acts(1), pace=slow)
    tasks(loop.run())
    loop.wake("a")
    await until(lambda: loop.failures("a") == 1)
    loop.wake("a")
    await asyncio.sleep(0.05)
    assert acts.counted["a"] == 1
    loop.wake("a", fresh=True)
    await until(lambda: acts.counted["a"] == 2)


async def test_a_pass_may_ask_to_be_called_again(tasks: Start, until: Until) -> None:
    seen: list[str] = []

    async def act(key: str) -> float | None:
        seen.append(key)
        return 0.01 if len(seen) < 3 else None

    loop = KeyedLoop("test", act, pace=QUICK)
    tasks(loop.run())
    loop.wake("a")
    await until(lambda: len(seen) == 3)
    await asyncio.sleep(0.05)
    assert len(seen) == 3


async def test_every_key_is_woken_without_a_reason_now_and_then(tasks: Start, until: Until) -> None:
    pace = Pace(between_seconds=0.0, resync_seconds=0.02)
    loop = KeyedLoop("test", acts := Acts(), keys=lambda: ["a", "b"], pace=pace)
    tasks(loop.run())
    await until(lambda: acts.counted["a"] >= 3 and acts.counted["b"] >= 3)


def test_delays_double_up_to_the_longest_and_are_jittered() -> None:
    class Middle(Clock):
        def random(self) -> float:
            return 0.5

    backoff = Backoff(0.1, 60.0)
    assert [backoff.delay_seconds(n, Middle()) for n in (1, 2, 3, 50)] == [0.1, 0.2, 0.4, 60.0]
    rolled = {backoff.delay_seconds(50, Clock()) for _ in range(50)}
    assert len(rolled) > 40
    assert all(45 <= seconds <= 75 for seconds in rolled)


async def test_retry_tries_as_often_as_allowed_and_only_what_may_pass() -> None:
    tries: list[int] = []

    async def act() -> None:
        tries.append(1)
        raise TransientError("away")

    with pytest.raises(TransientError):
        await retry(act, 3, backoff=Backoff(0.001, 0.002))
    assert len(tries) == 3


async def test_repetition_survives_a_failure(tasks: Start, until: Until) -> None:
    calls: list[int] = []

    async def act() -> None:
        calls.append(1)
        if len(calls) < 3:
            raise [TransientError("away"), KeyError("bug")][len(calls) - 1]

    tasks(repeat("test", act, 0.01))
    await until(lambda: len(calls) >= 4)


async def test_a_cancel_that_comes_with_a_wake_up_ends_the_loop(until: Until) -> None:
    """Python 3.11's `wait_for` would swallow it, and a stop would wait for ever."""
    loop = KeyedLoop("test", Acts(), pace=QUICK)
    running = asyncio.create_task(loop.run())
    await asyncio.sleep(0.01)
    loop.wake("a")
    running.cancel()
    await until(running.done)
    assert running.cancelled()
