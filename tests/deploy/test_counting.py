"""The query that counts changes counts each once: new series, restarts, scrapes that failed."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from deploy.dashboards.queries import counted, last_changed
from tests.deploy.panels import filled

pytestmark = pytest.mark.full
STEP = "15s"
VALUES = {"__interval": STEP, "__interval_ms": "15000", "__rate_interval": "1m", "__range": "10m",
          "job": "cellnode"}  # fmt: skip
UP = 'up{job="cellnode", instance="h"}'
BORN = 'process_start_time_seconds{job="cellnode", instance="h"}'
COUNTER = 'changes{reason="READY", job="cellnode", instance="h"}'
OTHER = 'changes{reason="OTHER", job="cellnode", instance="h"}'
SEEN = {UP: "1x40", BORN: "-999x40", OTHER: "0x40"}


def answer(folder: Path, series: dict[str, str], expr: str, value: float) -> str:
    """What promtool says if the expression is not that value at the end; empty if it is."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (Debian's package prometheus)")
    test: dict[str, Any] = {
        "interval": STEP,
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {"expr": expr, "eval_time": "10m", "exp_samples": [{"labels": "{}", "value": value}]}
        ],
    }
    path = folder / "case.json"
    path.write_text(json.dumps({"evaluation_interval": STEP, "tests": [test]}))
    told = subprocess.run(
        ["promtool", "test", "rules", path], capture_output=True, text=True, check=False
    )
    return "" if told.returncode == 0 else told.stdout + told.stderr


def in_all() -> str:
    """Summed over the steps, as the legend of a panel sums its bars."""
    expr = filled(counted("changes", "job"), VALUES)
    return f"sum(sum_over_time(({expr})[10m:{STEP}]))"


@pytest.mark.parametrize(
    ("series", "number"),
    [
        pytest.param({COUNTER: "0x9 1 2 2 5x29"}, 5, id="as everybody counts"),
        pytest.param({COUNTER: "_x9 3x31"}, 3, id="a new series, whose first value counts"),
        pytest.param({COUNTER: "0x9 4x9 0x2 2x19"}, 6, id="a process that was started anew"),
        pytest.param(
            {COUNTER: "_x5 2x35", UP: "_x5 1x35", BORN: "70x40", OTHER: "_x5 0x35"}, 2,
            id="a process that was started just now",
        ),
        pytest.param(
            {COUNTER: "_x5 7x35", UP: "_x5 1x35", OTHER: "_x5 0x35"}, 0,
            id="an old process, when Prometheus is new",
        ),
        pytest.param(
            {COUNTER: "1x9 stale _ 3x29", UP: "1x9 0 0 1x29", BORN: "-999x9 stale _ -999x29"}, 2,
            id="scrapes that failed",
        ),
    ],
)  # fmt: skip
def test_each_change_counts_once(tmp_path: Path, series: dict[str, str], number: int) -> None:
    assert answer(tmp_path, SEEN | series, in_all(), number) == ""


def test_a_wrong_number_is_found(tmp_path: Path) -> None:
    assert "exp" in answer(tmp_path, SEEN | {COUNTER: "_x9 3x31"}, in_all(), 0)


def test_the_moment_of_the_last_change_is_told(tmp_path: Path) -> None:
    series = SEEN | {COUNTER: "_x7 1x3 2x30"}
    expr = filled(last_changed('changes{reason="READY"}', "job"), VALUES)

    assert answer(tmp_path, series, f"sum({expr})", 1000 * 15 * 11) == ""
