"""The pure parts: pick, room, avoidance, queue, budget."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.admission import Queue
from services.gateway.balancing import AHEAD_MAX, ahead_of, pick, smoothed
from services.gateway.budget import BURST, ResendBudget
from services.gateway.outliers import AVOID_SECONDS_MAX, AVOID_SECONDS_MIN, avoid_seconds


@dataclass
class Loaded:
    in_flight: int
    ahead_max: int
    expected_us: float


loads = st.builds(
    Loaded,
    in_flight=st.integers(0, 20),
    ahead_max=st.integers(1, AHEAD_MAX),
    expected_us=st.floats(0, 1e6),
)


@given(st.lists(loads, max_size=12), st.integers())
def test_the_pick_is_idle_if_one_is_and_has_room_or_is_none(
    endpoints: list[Loaded], seed: int
) -> None:
    picked = pick(endpoints, Random(seed).random)
    if any(one.in_flight == 0 for one in endpoints):
        assert picked is not None
        assert picked.in_flight == 0
    elif any(one.in_flight < one.ahead_max for one in endpoints):
        assert picked is not None
        assert picked.in_flight < picked.ahead_max
    else:
        assert picked is None


@given(st.integers(2, 10), st.integers())
def test_calls_held_open_spread_evenly(count: int, seed: int) -> None:
    endpoints = [Loaded(0, 10**6, 100.0) for _ in range(count)]
    roll = Random(seed).random
    for _ in range(100 * count):
        picked = pick(endpoints, roll)
        assert picked is not None
        picked.in_flight += 1
    assert all(90 <= one.in_flight <= 110 for one in endpoints)


def test_of_two_with_room_the_one_with_less_expected_work_is_picked() -> None:
    slow, fast = Loaded(1, 16, 900.0), Loaded(3, 16, 20.0)
    assert all(pick([slow, fast], Random(seed).random) is fast for seed in range(50))


@pytest.mark.parametrize(
    ("expected_us", "ahead"),
    [(0, 16), (1, 16), (62, 16), (100, 10), (499, 2), (501, 1), (999, 1), (1e9, 1)],
)
def test_about_one_millisecond_of_work_is_sent_ahead(expected_us: float, ahead: int) -> None:
    assert ahead_of(expected_us) == ahead


@given(st.lists(st.floats(1, 1e6), min_size=1))
def test_the_expectation_lies_within_what_was_seen(seen: list[float]) -> None:
    expected = 0.0
    for one in seen:
        expected = smoothed(expected, one)
    assert min(seen) * 0.999 <= expected <= max(seen) * 1.001


def test_avoidance_doubles_up_to_a_limit() -> None:
    times = [avoid_seconds(failures) for failures in range(1, 40)]
    assert times[:3] == [AVOID_SECONDS_MIN, 2 * AVOID_SECONDS_MIN, 4 * AVOID_SECONDS_MIN]
    assert times == sorted(times)
    assert times[-1] == AVOID_SECONDS_MAX


@given(st.integers(0, 5), st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=60))
def test_the_queue_keeps_order_and_bound_whoever_leaves(
    places: int, steps: list[tuple[bool, int]]
) -> None:
    queue: Queue[int] = Queue(places)
    model: list[int] = []
    for number, (enters, leaver) in enumerate(steps):
        if enters:
            entered = queue.enter(number)
            assert entered == (len(model) < places)
            model += [number] if entered else []
        elif model:
            gone = model.pop(leaver % len(model))
            queue.leave(gone)
        assert len(queue) == len(model)
        assert queue.first() == (model[0] if model else None)
    assert queue.take_all() == model
    assert len(queue) == 0


def test_second_attempts_are_a_fifth_of_the_calls_in_the_long_run() -> None:
    budget = ResendBudget()
    spent = 0
    for _ in range(10_000):
        budget.calls += 1
        spent += budget.spend()
    assert spent <= 0.2 * 10_000 + BURST


def test_a_burst_of_second_attempts_is_allowed_to_a_calm_gateway() -> None:
    budget = ResendBudget()
    assert sum(budget.spend() for _ in range(1000)) == BURST
