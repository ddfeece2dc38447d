"""Rows of a benchmark: what is ok, what is short, and what a run of them exits with."""

import io

import pytest

from benchmarks.lifecycle import parsed
from benchmarks.rows import Row, finish, median, percentile


@pytest.mark.parametrize(
    ("row", "verdict"),
    [
        (Row("a", 1.0, at_most=1.0), "ok"),
        (Row("a", 1.01, at_most=1.0), "short"),
        (Row("a", 0.6, at_least=0.6), "ok"),
        (Row("a", 0.59, at_least=0.6), "short"),
        (Row("a", 5.0), "ok"),
        (Row("a", None), "short"),
        (Row("a", None, at_most=1.0), "short"),
    ],
)
def test_a_row_is_short_beyond_its_target_or_without_a_value(row: Row, verdict: str) -> None:
    assert row.verdict == verdict
    assert str(row).split()[-1] == verdict


def test_one_short_row_makes_the_run_fail() -> None:
    good, bad = Row("good", 1.0, at_most=2.0), Row("bad", 3.0, at_most=2.0)

    assert finish([good], io.StringIO()) == 0
    assert finish([good, bad, good], io.StringIO()) == 1


@pytest.mark.parametrize("row", [Row("a_ratio", 0.5, at_least=0.6), Row("b_ms", 3.0, at_most=4.0)])
def test_a_printed_row_can_be_read_back(row: Row) -> None:
    assert parsed(str(row)) == row


def test_other_lines_are_no_rows() -> None:
    assert parsed("run 1 gateway 1000 req/s bad=0") is None


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(n) for n in range(1, 101)]

    assert (median(values), percentile(values, 99), percentile(values, 100)) == (50.0, 99.0, 100.0)
    assert percentile([7.0], 99) == 7.0
    assert percentile([], 99) is None
