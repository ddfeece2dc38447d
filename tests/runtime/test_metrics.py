"""What an agent measures, in the text that Prometheus reads."""

from __future__ import annotations

from runtime.metrics import FAMILIES, PREFIX, Metrics
from tests.exposition import label_values, number, promtool_says, samples

GAUGES = {"waiting": 2, "running": 1, "ready": 1, "connections": 3}
OWN = {"instance_id": "digits-3fa9c1-1"}


def text_of(metrics: Metrics) -> str:
    return metrics.text(OWN["instance_id"], GAUGES)


def test_it_counts_what_it_ran_and_what_it_refused() -> None:
    metrics = Metrics()
    for status, execution_us in ((200, 90), (200, 5_000), (500, 20_000_000)):
        metrics.executed(status, execution_us)
    metrics.refused["busy"] += 4
    text = text_of(metrics)

    assert number(text, f"{PREFIX}executions_total", **OWN, code="200") == 2
    assert number(text, f"{PREFIX}refused_total", **OWN, reason="busy") == 4
    assert number(text, f"{PREFIX}execution_duration_seconds_count", **OWN) == 3
    assert number(text, f"{PREFIX}execution_duration_seconds_sum", **OWN) == 20.00509
    assert number(text, f"{PREFIX}waiting", **OWN) == 2
    assert label_values(text, "instance_id") == {OWN["instance_id"]}


def test_it_is_valid_from_the_start_and_every_name_is_there() -> None:
    text = text_of(Metrics())

    assert promtool_says(text) == ""
    assert samples(text)
    for name, (kind, what, _) in FAMILIES.items():
        assert f"# HELP {PREFIX}{name} {what}\n# TYPE {PREFIX}{name} {kind}\n" in text


def test_its_names_are_a_contract() -> None:
    assert {name: (kind, " ".join(labels)) for name, (kind, _, labels) in FAMILIES.items()} == {
        "executions_total": ("counter", "code"),
        "refused_total": ("counter", "reason"),
        "forks_total": ("counter", ""),
        "dropped_total": ("counter", ""),
        "execution_duration_seconds": ("histogram", ""),
        "waiting": ("gauge", ""),
        "running": ("gauge", ""),
        "ready": ("gauge", ""),
        "connections": ("gauge", ""),
    }
