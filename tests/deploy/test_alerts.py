"""Alerts come when they are due and only then, and each says what to do."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.docs.pages import anchors
from tests.sources import ROOT

PROMETHEUS = ROOT / "deploy" / "prometheus"
RULES = (PROMETHEUS / "alerts.yml").read_text()
CASES = ROOT / "tests" / "deploy" / "alerts.test.yml"
GUIDE = ROOT / "docs" / "guides" / "alerts.md"
NAMES = re.findall(r"- alert: (\w+)", RULES)


@pytest.fixture(scope="module")
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (Debian's package prometheus)")
    return found


def said(promtool: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([promtool, *words], capture_output=True, text=True, check=False)


@pytest.mark.full
def test_each_alert_comes_when_it_is_due_and_not_before(promtool: str) -> None:
    told = said(promtool, "test", "rules", CASES)

    assert told.returncode == 0, told.stdout + told.stderr


def test_each_alert_has_a_case_where_it_comes() -> None:
    cases = CASES.read_text().split("- eval_time:")
    fired = {
        name for name in NAMES for one in cases if f": {name}\n" in one and "exp_labels" in one
    }

    assert fired == set(NAMES)


@pytest.mark.full
def test_an_alert_that_never_comes_is_found(promtool: str, tmp_path: Path) -> None:
    (tmp_path / "alerts.yml").write_text(
        RULES.replace('node_status{status="UNHEALTHY"}', 'node_status{status="BAD"}')
    )
    cases = tmp_path / "cases.yml"
    cases.write_text(CASES.read_text().replace("../../deploy/prometheus/", ""))

    told = said(promtool, "test", "rules", cases)

    assert "alertname: CellnodeNodeUnhealthy" in told.stdout + told.stderr
    assert told.returncode != 0


def test_prometheus_takes_the_whole_configuration(promtool: str) -> None:
    told = said(promtool, "check", "config", PROMETHEUS / "prometheus.yml")

    assert told.returncode == 0, told.stdout + told.stderr
    assert f"{len(NAMES)} rules found" in told.stdout


@pytest.mark.parametrize("rule", RULES.split("- alert: ")[1:], ids=NAMES)
def test_each_alert_says_what_it_is_and_leads_to_what_helps(rule: str) -> None:
    name = rule.split("\n")[0]

    assert all(f"{part}: " in rule for part in ("severity", "summary", "description", "runbook"))
    assert f"docs/guides/alerts.md#{name.lower()}" in rule
    assert name.lower() in anchors(GUIDE)
