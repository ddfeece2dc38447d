"""Sums of usage: the same in any order and however often a record is read, within what is kept."""

from __future__ import annotations

from array import array
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.instances import Exit, Instance
from schemas.usage import HOUR, metered
from services.api import usage_ledger
from services.api.usage import _summed
from services.api.usage_ledger import (
    AHEAD_HOURS,
    DETAIL_HOURS,
    SUMMED_HOURS,
    Hours,
    Kind,
    Ledger,
    UsageMark,
    hour_number,
)
from tests.builders import NOON, a_node, after, an_instance

KIND = Kind("default", "digits", "small")
HOURS_MAX = 12


def a_mark(n: int = 1, hour: int = 0, seconds: float = 1.0, **changes: Any) -> UsageMark:
    known = {
        "kind": "InstanceUsage",
        "id": "00000000-0000-0000-0000-000000000033",
        "at": NOON,
        "node": "digits",
        "instance": f"digits-3fa9c1-{n}",
        "instance_type": "small",
        "hour": NOON + hour * HOUR,
        "seconds": seconds,
    }
    return UsageMark.model_validate(known | changes)


def a_ledger(*marks: UsageMark) -> Ledger:
    ledger = Ledger()
    for mark in marks:
        ledger.add(mark, mark.hour)
    return ledger


def seconds_of(ledger: Ledger) -> float:
    return sum(hours.between(0, 10**9) for hours in ledger.sums.values()) / 1000


def marks_of(instance: Instance, moments: list[float]) -> list[UsageMark]:
    told = [one for at in moments for one in metered(instance, after(at))]
    return [UsageMark.model_validate_json(one.model_dump_json()) for one in told]


def test_the_larger_of_two_words_on_an_hour_counts() -> None:
    ledger = a_ledger(a_mark(seconds=5), a_mark(seconds=3), a_mark(n=2, seconds=1.5))

    assert seconds_of(ledger) == 6.5


@given(
    st.lists(st.floats(0, HOURS_MAX * 3_600), min_size=1, max_size=5),
    st.floats(0, HOURS_MAX * 3_600),
    st.randoms(use_true_random=False),
)
def test_any_order_and_any_repeats_give_one_sum(
    moments: list[float], lived: float, dice: Any
) -> None:
    alive = an_instance(a_node(), created_at=NOON, instance_type="small")
    over = alive.model_copy(update={"exited": Exit(at=after(lived))})
    marks = marks_of(alive, [one for one in moments if one < lived]) + marks_of(over, [0])
    told = marks * 2
    dice.shuffle(told)

    assert abs(seconds_of(a_ledger(*told)) - lived) < 0.5


def test_an_hour_that_has_not_come_yet_changes_nothing() -> None:
    """Whose clock is wrong for a moment must not make all true hours too old."""
    ledger = a_ledger(a_mark(seconds=5))
    for n, hours in enumerate((AHEAD_HOURS + 1, 2 * DETAIL_HOURS, 5_000 * 365 * 24), 2):
        ledger.add(a_mark(n, hours), NOON)
    ledger.add(a_mark(hour=1, seconds=2), NOON)

    assert seconds_of(ledger) == 7.0
    assert ledger.passed_over == 3


@pytest.mark.parametrize("group", ["node", "hour", "instance", "instance_type"])
def test_what_others_have_cost_is_not_summed_for_who_has_not_asked(group: Any) -> None:
    class Others(Hours):
        def between(self, begin: int, end: int) -> int:
            raise AssertionError(f"{begin} to {end} was summed")

        by_hour = between  # type: ignore[assignment]

    ledger = a_ledger(a_mark(seconds=5))
    kind, others = Kind("elsewhere", "digits", "small"), Others(hour_number(NOON), array("Q", [1]))
    ledger.sums[kind], ledger.instances["digits-3fa9c1-9"] = others, (kind, others)
    call: Any = SimpleNamespace(project="default", query=SimpleNamespace(node=None, group_by=group))

    sums = _summed([ledger], call, 0, 10**9)
    assert [*sums.values()] == [{"small": 5_000}]


def test_sums_outlive_the_hours_of_single_instances() -> None:
    ledger = a_ledger(a_mark(seconds=7), a_mark(n=2, hour=DETAIL_HOURS + 24))

    assert list(ledger.instances) == ["digits-3fa9c1-2"]
    assert seconds_of(ledger) == 8.0
    ledger.add(a_mark(seconds=7), NOON)
    assert (seconds_of(ledger), ledger.passed_over) == (8.0, 1)


def test_after_thirteen_months_nothing_is_left_of_an_hour() -> None:
    ledger = a_ledger(a_mark(seconds=7), a_mark(n=2, hour=SUMMED_HOURS + 24))

    assert seconds_of(ledger) == 1.0
    assert ledger.sums[KIND].end - ledger.sums[KIND].first <= SUMMED_HOURS + 24


def test_who_ended_first_loses_its_hours_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_ledger, "INSTANCES_MAX", 2)
    ledger = a_ledger(a_mark(1), a_mark(2), a_mark(1, seconds=2), a_mark(3), a_mark(1, seconds=3))

    assert seconds_of(ledger) == 5.0
    assert list(ledger.instances) == ["digits-3fa9c1-3", "digits-3fa9c1-1"]


def test_what_is_told_of_a_month_is_small() -> None:
    """10,000 instances are 60 MB: eight bytes an hour."""
    ledger = a_ledger(*(a_mark(hour=hour, seconds=3600) for hour in range(DETAIL_HOURS)))
    ((_, hours),) = ledger.instances.values()

    assert len(hours.ms) * hours.ms.itemsize == 8 * DETAIL_HOURS
    assert hours.between(0, 10**9) == DETAIL_HOURS * 3_600_000
    assert timedelta(hours=len(hours.ms)) == timedelta(days=31)
