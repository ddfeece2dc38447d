"""What `/metrics` shows, read as strictly as Prometheus reads it, and a little more."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable

import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from services.chassis.metrics import Metrics

TYPES = frozenset({"counter", "gauge", "histogram"})
PROMTOOL_SECONDS = 20

Shown = dict[str, tuple[str, str]]  # Name behind the prefix: type, and labels.


def shown(metrics: Metrics, prefix: str) -> Shown:
    """What a process has declared, for a table in a test."""
    assert all(one.name.startswith(prefix) for one in metrics.families)
    return {
        one.name.removeprefix(prefix): (one.kind, " ".join(one.labels)) for one in metrics.families
    }


def samples(text: str) -> list[Sample]:
    """All of them, after a look at whether Prometheus would take the text as it is meant."""
    families = list(text_string_to_metric_families(text))
    for prefix in ("HELP", "TYPE"):
        named = re.findall(rf"^# {prefix} (\S+)", text, re.MULTILINE)
        assert [name for name, times in Counter(named).items() if times > 1] == []
        assert set(named) == set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))
    for family in families:
        assert family.type in TYPES, f"{family.name} has no type"
        assert family.documentation.endswith(".") or not family.name.startswith("cellnode")
        if family.type == "histogram":
            _check_histogram(family.samples)
    found = [sample for family in families for sample in family.samples]
    told = Counter((one.name, *sorted(one.labels.items())) for one in found)
    assert [one for one, times in told.items() if times > 1] == []
    return found


def number(text: str, name: str, **labels: str) -> float:
    """The sum over the series that have these labels."""
    named = [one for one in samples(text) if one.name == name]
    return sum(one.value for one in named if labels.items() <= one.labels.items())


def label_values(text: str, label: str) -> set[str]:
    return set(re.findall(rf'[{{,]{label}="([^"]*)"', text))


def series(text: str) -> int:
    return sum(not line.startswith("#") for line in text.splitlines())


def promtool_says(text: str) -> str:
    """Nothing where all is well."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (Debian's package prometheus)")
    command = ["promtool", "check", "metrics"]
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=PROMTOOL_SECONDS, check=False
    )
    return done.stdout + done.stderr


def _check_histogram(found: Iterable[Sample]) -> None:
    """Buckets only grow, and the last holds all."""
    series: dict[tuple[tuple[str, str], ...], list[tuple[float, float]]] = {}
    counts = {}
    for one in found:
        own = tuple(sorted((name, value) for name, value in one.labels.items() if name != "le"))
        if one.name.endswith("_bucket"):
            series.setdefault(own, []).append((float(one.labels["le"]), one.value))
        elif one.name.endswith("_count"):
            counts[own] = one.value
    for own, buckets in series.items():
        assert buckets == sorted(buckets), "bounds and counts grow together"
        assert [count for _, count in buckets] == sorted(count for _, count in buckets)
        assert buckets[-1] == (float("inf"), counts[own])
    assert series.keys() == counts.keys()
