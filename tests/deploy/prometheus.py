"""A real Prometheus that scrapes a running system, and its answers."""

from __future__ import annotations

import json
import math
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.waiting import until
from tests.sources import ROOT

SCRAPE_SECONDS = 1
STEP_SECONDS = 2
SERVICES = 6  # With annotations and the embedded broker.
ANSWER_SECONDS_MAX = 20.0
RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"


@dataclass(frozen=True)
class Series:
    """Labels and samples, as (time, value) pairs."""

    labels: dict[str, str]
    samples: list[tuple[float, float]]

    @property
    def has_numbers(self) -> bool:
        return any(not math.isnan(value) for _, value in self.samples)


class Prometheus:
    """Asked over its HTTP API, as Grafana asks it."""

    def __init__(self, address: str) -> None:
        self._origin = f"http://{address}/api/v1"
        self.begun = time.time()

    def ask(self, path: str, **words: Any) -> Any:
        sent = urllib.parse.urlencode(words, doseq=True)
        try:
            with urllib.request.urlopen(
                f"{self._origin}/{path}?{sent}", timeout=ANSWER_SECONDS_MAX
            ) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{words}: {error.read().decode()}") from None

    def now(self, expr: str) -> list[Series]:
        found = self.ask("query", query=expr)
        if found["resultType"] == "scalar":
            return [Series({}, [_sample(found["result"])])]
        return [Series(one["metric"], [_sample(one["value"])]) for one in found["result"]]

    def over_time(self, expr: str, step_seconds: float = STEP_SECONDS) -> list[Series]:
        """From the beginning, at whole multiples of the step, as Grafana aligns it."""
        first = (self.begun // step_seconds - 1) * step_seconds
        found = self.ask("query_range", query=expr, start=first, end=time.time(), step=step_seconds)
        return [
            Series(one["metric"], [_sample(pair) for pair in one["values"]])
            for one in found["result"]
        ]

    def number(self, expr: str) -> float:
        found = self.now(expr)
        return found[0].samples[0][1] if found else math.nan

    def values(self, label: str, metric: str) -> list[str]:
        """As `label_values(metric, label)` of Grafana."""
        found = self.ask(f"label/{label}/values", **{"match[]": metric}, start=self.begun)
        return [str(one) for one in found]

    @property
    def seconds(self) -> int:
        """Since it was started."""
        return int(time.time() - self.begun) + 1


def _sample(pair: Any) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@contextmanager
def scraping(targets: Path, folder: Path) -> Iterator[Prometheus]:
    """Every second, what the file of targets names; with cellnode's own rules."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed (Debian's package prometheus)")
    config = {
        "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [
            {"job_name": "cellnode", "file_sd_configs": [{"files": [str(targets)]}]}
        ],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))
    address = f"127.0.0.1:{free_port()}"
    command = [
        program, f"--config.file={folder / 'prometheus.yml'}", f"--web.listen-address={address}",
        f"--storage.tsdb.path={folder / 'tsdb'}", "--log.level=warn",
    ]  # fmt: skip
    with (folder / "prometheus.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield _ready(Prometheus(address))
    finally:
        server.terminate()
        server.wait(ANSWER_SECONDS_MAX)


def _ready(prometheus: Prometheus) -> Prometheus:
    def look() -> bool:
        try:
            return prometheus.number("count(up == 1)") >= SERVICES
        except (OSError, AssertionError):  # It does not listen yet, or not answer yet.
            return False

    until("Prometheus has scraped every service", look, seconds=40)
    return prometheus
