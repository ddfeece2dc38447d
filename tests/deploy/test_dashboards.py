"""Dashboards are what their code says, and what Grafana 9.3 and later can read."""

import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.dashboards.generate import FOLDER, files
from deploy.dashboards.panels import COLUMNS
from deploy.dashboards.words import COLOURS, NUMBERS
from docs.metrics_page import OF_SERVICES
from docs.metrics_page import families as families_of
from schemas.statuses import InstanceStatus, NodeStatus
from services.chassis.bus_measures import BusMeasures
from services.chassis.measures import ProcessMeasures
from tests.deploy.panels import BUILT_IN, Json, asked, filled, loaded, panels, used, variables
from tests.sources import ROOT

CORE = {"alertlist", "heatmap", "row", "stat", "state-timeline", "table", "text", "timeseries"}
SOURCES = ("${datasource}", "-- Grafana --")
# The unit that a panel shows, by what its queries count or measure.
SECONDS = ("_seconds_bucket", "_age_seconds", "_lag_seconds")
VALUES = {"__interval": "15s", "__interval_ms": "15000", "__rate_interval": "1m", "__range": "1h",
          "__range_s": "3600", "node": "default/n", "job": ".*"}  # fmt: skip
DASHBOARDS = loaded()
each = pytest.mark.parametrize("board", DASHBOARDS.values(), ids=list(DASHBOARDS))


def families() -> tuple[set[str], set[str]]:
    """All that the services make: names as they stand in queries, and labels."""
    everywhere = (ProcessMeasures, BusMeasures)
    found = [
        family
        for service, own in OF_SERVICES.items()
        for made in (*everywhere, own)
        for family in families_of(service, made)
    ]
    names = {one.name for one in found if one.kind != "histogram"}
    buckets = {f"{one.name}_bucket" for one in found if one.kind == "histogram"}
    return names | buckets, {label for one in found for label in one.labels}


def squares(panel: Json) -> Iterator[tuple[int, int]]:
    place = panel["gridPos"]
    for x in range(place["x"], place["x"] + place["w"]):
        for y in range(place["y"], place["y"] + place["h"]):
            yield x, y


def sources(part: object) -> Iterator[str]:
    """The uid of every data source that is named anywhere."""
    if isinstance(part, list):
        for one in part:
            yield from sources(one)
    if isinstance(part, dict):
        if isinstance(named := part.get("datasource"), dict):
            yield named["uid"]
        for one in part.values():
            yield from sources(one)


def test_the_files_are_what_the_code_says() -> None:
    assert {path: path.read_text() for path in FOLDER.iterdir()} == files(), "run `make dashboards`"


def test_every_dashboard_has_a_uid_of_its_own_which_is_its_file_s_name() -> None:
    assert [board["uid"] for board in DASHBOARDS.values()] == list(DASHBOARDS)
    assert len({board["title"] for board in DASHBOARDS.values()}) == len(DASHBOARDS) >= 5


@each
def test_numbers_and_titles_of_panels_are_their_own(board: Json) -> None:
    numbers = Counter(panel["id"] for panel in board["panels"])
    titles = Counter(panel["title"] for panel in panels(board))

    assert [one for one, count in (numbers + Counter()).items() if count > 1] == []
    assert [one for one, count in titles.items() if count > 1] == []


@each
def test_panels_lie_on_the_grid_side_by_side(board: Json) -> None:
    taken = Counter(square for panel in board["panels"] for square in squares(panel))

    assert [square for square, count in taken.items() if count > 1] == []
    assert max(x for x, _ in taken) < COLUMNS
    assert {x for x, _ in taken} == set(range(COLUMNS))


@each
def test_every_panel_is_a_core_panel_on_a_core_data_source(board: Json) -> None:
    assert {panel["type"] for panel in board["panels"]} <= CORE
    assert set(sources(board)) <= set(SOURCES)
    assert (board["schemaVersion"], board["id"]) == (37, None)


@each
def test_every_panel_says_what_it_shows(board: Json) -> None:
    silent = [
        one["title"] for one in panels(board) if not (one["description"] or one["type"] == "text")
    ]

    assert silent == []
    assert all(one["targets"] or one["type"] in {"text", "alertlist"} for one in panels(board))


@each
def test_every_variable_that_is_used_is_there_and_the_other_way_round(board: Json) -> None:
    known = set(variables(board))
    shown = used([board["panels"], board["annotations"], board["templating"]])

    assert shown - known - {*BUILT_IN, "__all"} == set()
    assert known - shown == set()


@each
def test_what_is_measured_in_seconds_is_shown_in_seconds(board: Json) -> None:
    for one in asked(board):
        measures_time = any(word in one.expr for word in SECONDS) and "increase(" not in one.expr
        if measures_time and one.kind != "heatmap":
            assert one.unit == "s", one
        if one.unit == "s" and one.kind != "heatmap":
            assert measures_time, one


@each
def test_every_series_over_time_has_a_name_and_an_axis_from_zero(board: Json) -> None:
    for panel in panels(board):
        if panel["type"] == "timeseries":
            assert panel["fieldConfig"]["defaults"]["min"] == 0, panel["title"]
            assert all(one["legendFormat"] != "__auto" for one in panel["targets"]), panel["title"]


def test_every_status_has_a_number_and_a_colour() -> None:
    words = {status.value for kind in (InstanceStatus, NodeStatus) for status in kind}

    assert words == set(NUMBERS) == set(COLOURS)
    assert len(set(NUMBERS.values())) == len(set(COLOURS.values())) == len(NUMBERS)


def test_every_link_between_dashboards_leads_to_one() -> None:
    text = json.dumps(list(DASHBOARDS.values()))
    targets = {part.split("?")[0].split('"')[0] for part in text.split("/d/")[1:]}

    assert targets
    assert targets <= set(DASHBOARDS)


def test_every_metric_that_is_asked_for_is_one_and_has_the_labels() -> None:
    made, labels = families()
    exprs = [one.expr for board in DASHBOARDS.values() for one in asked(board)]
    texts = [*exprs, (ROOT / "deploy" / "prometheus" / "alerts.yml").read_text()]
    named = {name for text in texts for name in re.findall(r"\bcellnode_[a-z_]+[a-z]\b", text)}
    grouped = {name for text in texts for part in re.findall(r"(?:by|on) \(([a-z_, ]+)\)", text)
               for name in part.split(", ")}  # fmt: skip

    assert named - made == set()
    assert grouped - labels - {"job", "instance", "service", "le", "class"} == set()


def test_prometheus_understands_every_query(tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (Debian's package prometheus)")
    exprs = {filled(one.expr, VALUES) for board in DASHBOARDS.values() for one in asked(board)}
    rules = [{"record": f"panel:{index}", "expr": expr} for index, expr in enumerate(sorted(exprs))]
    path = tmp_path / "rules.json"
    path.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))

    told = subprocess.run(
        ["promtool", "check", "rules", path], capture_output=True, text=True, check=False
    )

    assert told.returncode == 0, told.stdout + told.stderr
    assert f"{len(exprs)} rules found" in told.stdout
