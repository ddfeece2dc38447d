"""The mass-failure brake."""

from __future__ import annotations

import pytest

from services.provisioner.brake import Brake, silent_max
from services.provisioner.plan import Action, Replace, Wait, Want
from tests.builders import NOON, after


def silent(count: int) -> list[Action]:
    return [Replace(f"n-3fa9c1-{n}", 100 + n, True) for n in range(1, count + 1)]


@pytest.mark.parametrize(("want", "most"), [(1, 1), (3, 1), (4, 1), (7, 2), (10, 3), (100, 30)])
def test_at_most_a_third_or_one_may_go(want: int, most: int) -> None:
    assert silent_max(want) == most


def test_when_all_fall_silent_only_a_few_are_replaced_within_a_window() -> None:
    held = Brake().hold(silent(10), 10, NOON)

    assert held == [*silent(3), Wait(after(60))]


def test_what_was_replaced_before_in_the_window_counts() -> None:
    brake = Brake()
    brake.remember(NOON)

    assert brake.hold(silent(1), 3, after(59)) == [Wait(after(60))]
    assert brake.hold(silent(1), 3, after(60)) == silent(1)


def test_instances_that_are_dead_for_sure_are_not_held_back() -> None:
    dead: list[Action] = [Replace(f"n-3fa9c1-{n}", n, False) for n in range(1, 9)]

    assert Brake().hold([*dead, Want(9)], 10, NOON) == [*dead, Want(9)]
