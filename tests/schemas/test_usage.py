"""What is metered: the same sum however it is told, and in whatever order it arrives."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import InstanceUsage
from schemas.instances import Exit, Instance
from schemas.topics import USAGE_DAYS
from schemas.usage import HOUR, hour_of, metered, seconds_by_hour
from tests.builders import NOON, a_node, after, an_instance

SECONDS = st.floats(min_value=0, max_value=8 * 3_600).map(lambda one: round(one, 6))


def made(created: float = 0.0, exited: float | None = None, until: int | None = None) -> Instance:
    """A VM made so many seconds after noon; `until`: so many hours after it are told already."""
    return an_instance(
        a_node(),
        instance_type="small",
        created_at=after(created),
        exited=None if exited is None else Exit(at=after(exited)),
        metered_until=None if until is None else NOON + until * HOUR,
    )


def total(records: list[InstanceUsage]) -> float:
    return round(sum(seconds_by_hour(records).values()), 3)


def test_a_life_is_cut_at_the_hours() -> None:
    records = metered(made(created=3590, exited=7300.5), NOON)

    told = [(one.hour, one.seconds, one.is_open) for one in records]
    assert told == [
        (NOON, 10.0, False),
        (NOON + HOUR, 3600.0, False),
        (NOON + 2 * HOUR, 100.5, False),
    ]
    assert {one.key for one in records} == {
        f"digits-3fa9c1-1@2026-05-04T1{hour}:00:00+00:00" for hour in (2, 3, 4)
    }


def test_an_hour_that_goes_on_is_open_and_has_a_key_of_its_own() -> None:
    closed, open_one = metered(made(), after(3601))

    assert (closed.is_open, closed.seconds) == (False, 3600.0)
    assert (open_one.is_open, open_one.seconds, open_one.key) == (True, 1.0, "digits-3fa9c1-1")


def test_what_was_never_made_costs_nothing() -> None:
    assert metered(an_instance(a_node()), after(10_000)) == []


@given(SECONDS, SECONDS)
def test_nothing_is_lost_or_added_between_two_moments(created: float, lived: float) -> None:
    records = metered(made(created, created + lived), NOON)

    assert abs(total(records) - lived) < 0.01


@given(SECONDS, st.lists(SECONDS, min_size=1, max_size=6), st.randoms())
def test_told_by_anybody_in_any_order_and_twice_it_sums_up_alike(
    created: float, moments: list[float], dice: st.DataObject
) -> None:
    """Rounds of several provisioners, some with the record of before the hour was closed."""
    last = created + max(moments)
    records = [one for at in moments for one in metered(made(created), after(created + at))]
    records += metered(made(created, last), NOON)
    told = records * 2
    dice.shuffle(told)  # type: ignore[attr-defined]

    assert abs(total(told) - total(metered(made(created, last), NOON))) < 0.01


@given(SECONDS, SECONDS, st.integers(0, 18))
def test_who_goes_on_where_another_stopped_loses_nothing(
    created: float, lived: float, closed: int
) -> None:
    """Hours before `metered_until` are on record; the rest is told by whoever comes next."""
    end = created + lived
    until = min(closed, int(end // 3600))
    first = [one for one in metered(made(created), after(end)) if one.hour < NOON + until * HOUR]
    rest = metered(made(created, end, until), NOON)
    assert all(one.hour >= NOON + until * HOUR for one in rest)

    assert abs(total(first + rest) - lived) < 0.01


@given(st.lists(SECONDS, min_size=2, max_size=2).map(sorted))
def test_a_later_word_on_an_hour_is_never_smaller(moments: list[float]) -> None:
    early, late = (seconds_by_hour(metered(made(), after(at))) for at in moments)

    assert all(seconds <= late[key] for key, seconds in early.items())


@given(st.datetimes(timezones=st.timezones()))
def test_hours_are_of_utc(moment: datetime) -> None:
    hour = hour_of(moment)

    assert hour.utcoffset() == timedelta(0)
    assert timedelta(0) <= moment - hour < HOUR


@pytest.mark.parametrize(
    "wrong",
    [
        {"created_at": datetime(1970, 1, 1, tzinfo=timezone.utc)},
        {"exited": Exit(at=datetime(9999, 1, 1, tzinfo=timezone.utc))},
    ],
)
def test_a_clock_that_was_wrong_makes_no_more_records_than_are_kept(wrong: dict[str, Any]) -> None:
    known: dict[str, Any] = {"created_at": NOON, "instance_type": "small"} | wrong
    instance = an_instance(a_node(), **known)

    assert len(metered(instance, after(60))) == USAGE_DAYS * 24 + 1
