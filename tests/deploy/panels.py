"""Dashboards as Grafana reads them: their panels, queries and variables, with values filled in."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.sources import ROOT

FOLDER = ROOT / "deploy" / "grafana" / "dashboards"
FILES = sorted(FOLDER.glob("*.json"))
# What Grafana knows of itself; seconds stand for what it makes of the range and the screen.
BUILT_IN = (
    "__interval", "__interval_ms", "__rate_interval", "__range", "__range_s", "__url_time_range",
    "__field", "__value", "__data",
)  # fmt: skip
USED = re.compile(r"\$\{?(\w+)")

Json = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """One query of one panel."""

    dashboard: str
    panel: str
    kind: str
    unit: str
    expr: str
    is_instant: bool
    legend: str
    columns: tuple[str, ...]  # The labels that a table shows.

    def __str__(self) -> str:
        return f"{self.dashboard} / {self.panel}: {self.expr}"


def loaded() -> dict[str, Json]:
    return {path.stem: json.loads(path.read_text()) for path in FILES}


def panels(dashboard: Json) -> list[Json]:
    return [one for one in dashboard["panels"] if one["type"] != "row"]


def asked(dashboard: Json) -> Iterator[Asked]:
    for panel in panels(dashboard):
        unit = panel["fieldConfig"]["defaults"]["unit"]
        for target in panel["targets"]:
            yield Asked(
                dashboard["uid"],
                panel["title"],
                panel["type"],
                unit,
                target["expr"],
                target["instant"],
                target["legendFormat"],
                shown(panel),
            )


def shown(panel: Json) -> tuple[str, ...]:
    """The labels that are columns; `Value` and its kin are numbers."""
    steps = [one for one in panel.get("transformations", []) if one["id"] == "organize"]
    names = [name for one in steps for name in one["options"]["renameByName"]]
    return tuple(name for name in names if not name.startswith("Value"))


def variables(dashboard: Json) -> dict[str, Json]:
    return {one["name"]: one for one in dashboard["templating"]["list"]}


def filled(text: str, values: Mapping[str, str]) -> str:
    """As Grafana fills variables in: the longest name that is one."""
    for name in sorted(values, key=len, reverse=True):
        text = text.replace(f"${{{name}}}", values[name]).replace(f"${name}", values[name])
    return text


def used(value: object) -> set[str]:
    """The variables that a part of a dashboard mentions; `$1` belongs to PromQL."""
    found = USED.findall(json.dumps(value, ensure_ascii=False))
    return {name for name in found if not name.isdigit()}


def read(path: Path) -> Json:
    return dict(json.loads(path.read_text()))
