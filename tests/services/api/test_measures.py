"""The names of what the api measures."""

from __future__ import annotations

from services.api.measures import Measures
from services.chassis.metrics import Metrics
from tests.exposition import number, promtool_says, shown

PREFIX = "cellnode_api_"


def test_a_stream_counts_and_has_no_duration() -> None:
    metrics = Metrics("api")
    measures = Measures(metrics)
    measures.answered("listNodes", 200, 0.003)
    measures.answered("followEvents", 200, None)
    text = metrics.text().decode()

    assert number(text, f"{PREFIX}requests_total", status="200") == 2
    assert number(text, f"{PREFIX}request_duration_seconds_count") == 1
    assert promtool_says(text) == ""


def test_its_names_are_a_contract() -> None:
    metrics = Metrics("api")
    Measures(metrics)
    assert shown(metrics, PREFIX) == {
        "requests_total": ("counter", "operation status"),
        "request_duration_seconds": ("histogram", "operation"),
        "commands_total": ("counter", "kind"),
        "event_streams": ("gauge", ""),
        "waits": ("gauge", ""),
        "events_total": ("counter", "kind"),
    }
