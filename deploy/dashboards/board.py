"""A dashboard: rows of panels set out on the grid, variables, annotations, links to the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from deploy.dashboards.panels import COLUMNS, GRAFANA, PROMETHEUS, Panel
from deploy.dashboards.words import Json

SCHEMA = 37
TAG = "cellnode"
ANNOTATIONS_MAX = 200
# What every service tells cheaply, to find the jobs that scrape cellnode.
JOBS = 'label_values({__name__=~"cellnode_.+_(partitions|event_streams)"}, job)'
NODES = 'label_values(cellnode_health_node_status{job=~"$job"}, node)'


@dataclass(frozen=True)
class Row:
    """A heading and the panels below it, from the left, wrapped at the grid's width."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Dashboard:
    """One file."""

    uid: str
    title: str
    description: str
    rows: Sequence[Row]
    variables: Sequence[Json]
    annotations: Sequence[Json]
    since: str = "now-1h"
    refresh: str = "10s"
    tags: Sequence[str] = field(default=(TAG,))

    def model(self) -> Json:
        return {
            "annotations": {"list": [_built_in(), *self.annotations]},
            "description": self.description,
            "editable": False,
            "fiscalYearStartMonth": 0,
            "graphTooltip": 1,
            "id": None,
            "links": [_links()],
            "liveNow": False,
            "panels": set_out(self.rows),
            "refresh": self.refresh,
            "schemaVersion": SCHEMA,
            "style": "dark",
            "tags": list(self.tags),
            "templating": {"list": list(self.variables)},
            "time": {"from": self.since, "to": "now"},
            "timepicker": {"refresh_intervals": ["5s", "10s", "30s", "1m", "5m", "15m", "1h"]},
            "timezone": "browser",
            "title": self.title,
            "uid": self.uid,
            "version": 1,
            "weekStart": "",
        }


def set_out(rows: Sequence[Row]) -> list[Json]:
    """Every panel at its place; numbers follow the order."""
    made: list[Json] = []
    y = 0
    for row in rows:
        made.append(_heading(row.title, len(made) + 1, y))
        x, y, tallest = 0, y + 1, 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            made.append(panel.model(len(made) + 1, x, y))
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest
    return made


def _heading(title: str, number: int, y: int) -> Json:
    return {
        "collapsed": False,
        "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": y},
        "id": number,
        "panels": [],
        "title": title,
        "type": "row",
    }


def data_source() -> Json:
    return {
        "current": {"selected": False, "text": "default", "value": "default"},
        "hide": 0,
        "includeAll": False,
        "label": "Data source",
        "multi": False,
        "name": "datasource",
        "options": [],
        "query": "prometheus",
        "refresh": 1,
        "regex": "",
        "skipUrlSync": False,
        "type": "datasource",
    }


def variable(name: str, label: str, query: str, *, has_all: bool = True) -> Json:
    """Values as Prometheus has them; several at once where `All` is one of them."""
    everything: Json = {"selected": True, "text": ["All"], "value": ["$__all"]}
    made: Json = {
        "current": everything if has_all else {},
        "datasource": PROMETHEUS,
        "definition": query,
        "hide": 0,
        "includeAll": has_all,
        "label": label,
        "multi": has_all,
        "name": name,
        "options": [],
        "query": {"query": query, "refId": "StandardVariableQuery"},
        "refresh": 2,
        "regex": "",
        "skipUrlSync": False,
        "sort": 1,
        "type": "query",
    }
    return {**made, "allValue": ".*"} if has_all else made


def job() -> Json:
    return variable("job", "Job", JOBS)


def nodes(*, has_all: bool) -> Json:
    return variable("node", "Node", NODES, has_all=has_all)


def told(name: str, *tags: str, colour: str = "orange", is_on: bool = True) -> Json:
    """Annotations of Grafana's own store that carry all of these tags."""
    return {
        "datasource": GRAFANA,
        "enable": is_on,
        "iconColor": colour,
        "name": name,
        "target": {
            "limit": ANNOTATIONS_MAX,
            "matchAny": False,
            "tags": list(tags),
            "type": "tags",
        },
    }


def _built_in() -> Json:
    return {
        "builtIn": 1,
        "datasource": GRAFANA,
        "enable": True,
        "hide": True,
        "iconColor": "rgba(0, 211, 255, 1)",
        "name": "Annotations & Alerts",
        "target": {"limit": 100, "matchAny": False, "tags": [], "type": "dashboard"},
        "type": "dashboard",
    }


def _links() -> Json:
    return {
        "asDropdown": False,
        "icon": "external link",
        "includeVars": True,
        "keepTime": True,
        "tags": [TAG],
        "targetBlank": False,
        "title": "cellnode",
        "tooltip": "",
        "type": "dashboards",
        "url": "",
    }


def to_node(value: str) -> list[Json]:
    """A link to the detail of a node; `value` is what Grafana fills in."""
    url = f"/d/cellnode-node?var-node={value}&${{__url_time_range}}&${{datasource:queryparam}}"
    return [{"targetBlank": False, "title": "Node detail", "url": url}]


def linked(**more: Any) -> Json:
    """Defaults of a panel whose series are nodes: each leads to its detail."""
    return {"links": to_node("${__field.labels.node:percentencode}"), **more}
