"""Panels in the JSON of Grafana 9.3 (schema 37), which later versions read as well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from deploy.dashboards.words import Json, mapped

PROMETHEUS: Json = {"type": "prometheus", "uid": "${datasource}"}
GRAFANA: Json = {"type": "grafana", "uid": "-- Grafana --"}
COLUMNS = 24
STEP = "15s"  # The least step of panels that count exactly; scrapes come more often.


@dataclass(frozen=True)
class Query:
    """One target: an expression, how its series are called, and what Grafana asks for."""

    expr: str
    legend: str = ""
    instant: bool = False
    format: str = "time_series"

    def target(self, ref: str) -> Json:
        return {
            "datasource": PROMETHEUS,
            "editorMode": "code",
            "expr": self.expr,
            "format": self.format,
            "instant": self.instant,
            "legendFormat": self.legend or "__auto",
            "range": not self.instant,
            "refId": ref,
        }


@dataclass(frozen=True)
class Panel:
    """What is drawn; where it stands is decided by its dashboard."""

    kind: str
    title: str
    description: str
    queries: Sequence[Query]
    width: int = 8
    height: int = 8
    unit: str = "short"
    options: Json = field(default_factory=dict)
    defaults: Json = field(default_factory=dict)
    overrides: Sequence[Json] = ()
    transformations: Sequence[Json] = ()
    interval: str = ""

    def model(self, number: int, x: int, y: int) -> Json:
        made: Json = {
            "datasource": PROMETHEUS,
            "description": self.description,
            "fieldConfig": {
                "defaults": {
                    "color": {"mode": "palette-classic"},
                    "mappings": [],
                    "thresholds": thresholds(("green", None)),
                    "unit": self.unit,
                    **self.defaults,
                },
                "overrides": list(self.overrides),
            },
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "id": number,
            "options": self.options,
            "targets": [
                query.target(chr(ord("A") + index)) for index, query in enumerate(self.queries)
            ],
            "title": self.title,
            "type": self.kind,
        }
        if self.transformations:
            made["transformations"] = list(self.transformations)
        if self.interval:
            made["interval"] = self.interval
        return made


def thresholds(*steps: tuple[str, float | None]) -> Json:
    """From the lowest colour, whose value is None, upwards."""
    return {
        "mode": "absolute",
        "steps": [{"color": colour, "value": value} for colour, value in steps],
    }


def legend(*calcs: str, placement: str = "bottom") -> Json:
    return {
        "calcs": list(calcs),
        "displayMode": "table" if calcs else "list",
        "placement": placement,
        "showLegend": True,
    }


def lines(title: str, description: str, *queries: Query, **more: Any) -> Panel:
    """Lines over time; `stacked` areas, `bars`, `calcs` in the legend, `top` of the axis."""
    custom = _drawn(
        is_stacked=more.pop("stacked", False),
        is_bars=more.pop("bars", False),
        fill=more.pop("fill", 10),
        label=more.pop("label", ""),
    )
    defaults: Json = {"custom": custom, "min": more.pop("bottom", 0), **more.pop("defaults", {})}
    if (top := more.pop("top", None)) is not None:
        defaults["max"] = top
    if (limits := more.pop("limits", None)) is not None:
        defaults["thresholds"] = limits
        custom["thresholdsStyle"] = {"mode": "line"}
    options = {
        "legend": legend(*more.pop("calcs", ()), placement=more.pop("placement", "bottom")),
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return Panel("timeseries", title, description, queries, options=options, defaults=defaults,
                 **more)  # fmt: skip


def _drawn(*, is_stacked: bool, is_bars: bool, fill: int, label: str) -> Json:
    return {
        "axisCenteredZero": False,
        "axisColorMode": "text",
        "axisLabel": label,
        "axisPlacement": "auto",
        "barAlignment": 0,
        "drawStyle": "bars" if is_bars else "line",
        "fillOpacity": 80 if is_bars else 50 if is_stacked else fill,
        "gradientMode": "none",
        "hideFrom": {"legend": False, "tooltip": False, "viz": False},
        "lineInterpolation": "stepAfter" if is_stacked and not is_bars else "linear",
        "lineWidth": 1,
        "pointSize": 5,
        "scaleDistribution": {"type": "linear"},
        "showPoints": "never" if is_bars or is_stacked else "auto",
        "spanNulls": False,
        "stacking": {"group": "A", "mode": "normal" if is_stacked else "none"},
        "thresholdsStyle": {"mode": "off"},
    }


def timeline(title: str, description: str, *queries: Query, **more: Any) -> Panel:
    """Statuses as bands, one a row, in the words and colours of the contract."""
    custom = {
        "fillOpacity": 85,
        "hideFrom": {"legend": False, "tooltip": False, "viz": False},
        "lineWidth": 0,
        "spanNulls": False,
    }
    options = {
        "alignValue": "left",
        "legend": legend(),
        "mergeValues": True,
        "rowHeight": 0.85,
        "showValue": "auto",
        "tooltip": {"mode": "single", "sort": "none"},
    }
    defaults: Json = {
        "color": {"mode": "thresholds"},
        "custom": custom,
        "mappings": mapped(),
        "thresholds": thresholds(("text", None)),
        **more.pop("defaults", {}),
    }
    return Panel("state-timeline", title, description, queries, options=options,
                 defaults=defaults, **more)  # fmt: skip


def stat(title: str, description: str, *queries: Query, **more: Any) -> Panel:
    """One number, or one each; `background` paints the tile."""
    is_painted = more.pop("background", False)
    options = {
        "colorMode": "background" if is_painted else "value",
        "graphMode": more.pop("graph", "none"),
        "justifyMode": "auto",
        "orientation": more.pop("orientation", "auto"),
        "reduceOptions": {
            "calcs": [more.pop("calc", "lastNotNull")],
            "fields": "",
            "values": False,
        },
        "textMode": more.pop("text", "auto"),
    }
    defaults: Json = {"color": {"mode": "thresholds"}, **more.pop("defaults", {})}
    if (limits := more.pop("limits", None)) is not None:
        defaults["thresholds"] = limits
    return Panel("stat", title, description, queries, options=options, defaults=defaults, **more)


def table(title: str, description: str, *queries: Query, **more: Any) -> Panel:
    """Rows of the present moment; `columns` names what is shown, in this order."""
    columns: dict[str, str] = more.pop("columns")
    hidden = more.pop("hidden", ("Time",))
    sort: tuple[str, bool] = more.pop("sort")
    options = {
        "footer": {"fields": "", "reducer": ["sum"], "show": False},
        "showHeader": True,
        "sortBy": [{"desc": sort[1], "displayName": sort[0]}],
    }
    organised = {
        "id": "organize",
        "options": {
            "excludeByName": dict.fromkeys(hidden, True),
            "indexByName": {name: index for index, name in enumerate(columns)},
            "renameByName": columns,
        },
    }
    merged = [{"id": "merge", "options": {}}] if len(queries) > 1 else []
    custom = {"align": "auto", "displayMode": "auto", "filterable": True, "inspect": False}
    defaults: Json = {
        "color": {"mode": "thresholds"},
        "custom": custom,
        **more.pop("defaults", {}),
    }
    return Panel("table", title, description, queries, options=options, defaults=defaults,
                 transformations=[*merged, organised], **more)  # fmt: skip


def column(name: str, **properties: Any) -> Json:
    """How one column of a table looks; `__` in a property's name is a dot."""
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [
            {"id": key.replace("__", "."), "value": value} for key, value in properties.items()
        ],
    }


def heatmap(title: str, description: str, query: Query, **more: Any) -> Panel:
    """How many fell into which bucket, over time."""
    unit = more.get("unit", "s")
    options = {
        "calculate": False,
        "calculation": {},
        "cellGap": 1,
        "cellValues": {},
        "color": {
            "exponent": 0.5, "fill": "dark-orange", "mode": "scheme", "reverse": False,
            "scale": "exponential", "scheme": "Oranges", "steps": 64,
        },
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "tooltip": {"show": True, "yHistogram": False},
        "yAxis": {"axisPlacement": "left", "reverse": False, "unit": unit},
    }  # fmt: skip
    defaults: Json = {
        "custom": {
            "hideFrom": {"legend": False, "tooltip": False, "viz": False},
            "scaleDistribution": {"type": "linear"},
        }
    }
    return Panel("heatmap", title, description, [query], options=options, defaults=defaults,
                 **more)  # fmt: skip


def alerts(title: str, description: str, **more: Any) -> Panel:
    """Alerts of Prometheus' own rules, firing and pending."""
    options = {
        "alertInstanceLabelFilter": "",
        "alertName": "",
        "dashboardAlerts": False,
        "groupBy": [],
        "groupMode": "default",
        "maxItems": 20,
        "sortOrder": 3,
        "stateFilter": {
            "error": True, "firing": True, "noData": False, "normal": False, "pending": True,
        },
        "viewMode": "list",
    }  # fmt: skip
    return Panel("alertlist", title, description, [], options=options, **more)


def text(title: str, content: str, **more: Any) -> Panel:
    options = {
        "code": {"language": "plaintext", "showLineNumbers": False, "showMiniMap": False},
        "content": content,
        "mode": "markdown",
    }
    return Panel("text", title, "", [], options=options, **more)
