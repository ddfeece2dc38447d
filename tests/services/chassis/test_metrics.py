"""The text of `/metrics`: what others hold, written as Prometheus' own client would write it."""

from __future__ import annotations

import pytest

from services.chassis.measures import LAGS_KEPT, ProcessMeasures
from services.chassis.metrics import Metrics
from services.chassis.metrics_text import Observed, Sample
from tests.exposition import number, promtool_says, samples, shown

HOSTILE = 'a"b\\c\nd}'


def text_of(metrics: Metrics) -> str:
    return metrics.text().decode()


def test_what_is_held_elsewhere_is_read_when_somebody_asks() -> None:
    metrics, held = Metrics("test"), dict[str, int]()
    told: list[Sample] = []
    metrics.read_gauge("things", "Things held.", ["kind"], lambda: told)
    assert number(text_of(metrics), "cellnode_test_things") == 0
    told.append((("a",), 3))
    assert number(text_of(metrics), "cellnode_test_things", kind="a") == 3
    told.clear()
    assert "cellnode_test_things{" not in text_of(metrics)
    assert held == {}


def test_a_label_may_hold_anything() -> None:
    metrics = Metrics("test")
    metrics.read_counter("calls", "Calls.", ["who"], lambda: [((HOSTILE,), 1)])
    (sample,) = [one for one in samples(text_of(metrics)) if one.name.startswith("cellnode")]

    assert (sample.name, sample.labels["who"]) == ("cellnode_test_calls_total", HOSTILE)


def test_a_histogram_that_is_read_is_one_that_was_observed() -> None:
    counts: list[Observed] = [(("x",), [2, 0, 1], 7.5)]
    read, kept = Metrics("test"), Metrics("test")
    read.read_seconds("wait", "Waited.", ["who"], lambda: counts, buckets=(0.5, 1))
    histogram = kept.seconds("wait", "Waited.", ["who"], buckets=(0.5, 1))
    for seconds in (0.25, 0.25, 7.0):
        histogram.labels("x").observe(seconds)

    def of_waits(metrics: Metrics) -> list[tuple[str, dict[str, str], float]]:
        found = [one for one in samples(text_of(metrics)) if "wait" in one.name]
        return sorted(((one.name, one.labels, one.value) for one in found), key=str)

    assert of_waits(read) == of_waits(kept)


def test_one_name_is_given_once() -> None:
    metrics = Metrics("test")
    metrics.counter("calls", "Calls.")
    with pytest.raises(ValueError, match="calls_total is there already"):
        metrics.read_counter("calls", "Calls.", [], list)


def test_a_loop_that_stood_still_is_seen_for_a_minute() -> None:
    metrics = Metrics("test")
    measures = ProcessMeasures(metrics)
    assert number(text_of(metrics), "cellnode_test_loop_lag_seconds") == 0
    for seconds in (0.01, 2.5, 0.02):
        measures.lags.append(seconds)
    assert number(text_of(metrics), "cellnode_test_loop_lag_seconds") == 2.5
    measures.lags.extend([0.01] * LAGS_KEPT)
    assert number(text_of(metrics), "cellnode_test_loop_lag_seconds") == 0.01


def test_its_names_are_a_contract() -> None:
    metrics = Metrics("test")
    ProcessMeasures(metrics)
    assert shown(metrics, "cellnode_test_") == {"loop_lag_seconds": ("gauge", "")}
    assert promtool_says(text_of(metrics)) == ""
