"""Every panel shows what there was, as a real Prometheus scraped it from the real services."""

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.deploy import watched
from tests.deploy.panels import Asked, asked, filled, loaded, variables
from tests.deploy.prometheus import STEP_SECONDS, Prometheus, Series, scraping
from tests.deploy.watched import Change, Day
from tests.e2e.bus import Follower
from tests.e2e.system import System
from tests.e2e.waiting import until
from tests.e2e.world import World
from tests.services.annotations.store import TOKEN

pytestmark = [pytest.mark.full, pytest.mark.timeout(300)]
DASHBOARDS = loaded()
ASKED = [one for board in DASHBOARDS.values() for one in asked(board)]
# (dashboard, panel): why it shows nothing on this day.
EMPTY: dict[tuple[str, str], str] = {}
LEGEND = re.compile(r"{{(\w+)}}")
CHANGES = "cellnode_health_status_changes_total"


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    """One for all tests of this file, lived up to the moment when everything is deleted."""
    folder = tmp_path_factory.mktemp("prometheus")
    with watched.grafana() as store:
        prefix = "CELLNODE_ANNOTATIONS_GRAFANA"
        system = System({f"{prefix}_URL": store.url, f"{prefix}_TOKEN": TOKEN})
        try:
            system.start()
            with (
                Follower(system.kafka) as statuses,
                scraping(system.data / "prometheus.json", folder) as prometheus,
            ):
                made = Day(World(system, statuses), prometheus, store)
                watched.lived(made)
                yield made
        finally:
            system.stop()
            system.remove()


def values(prometheus: Prometheus, node: str) -> dict[str, str]:
    """What Grafana fills in for this range on a wide screen."""
    return {
        "__interval": f"{STEP_SECONDS}s",
        "__interval_ms": str(1000 * STEP_SECONDS),
        "__rate_interval": f"{2 * STEP_SECONDS}s",
        "__range": f"{prometheus.seconds}s",
        "__range_s": str(prometheus.seconds),
        "job": "cellnode",
        "node": f"default/{node}",
    }


def answer(day: Day, one: Asked) -> list[Series]:
    expr = filled(one.expr, values(day.prometheus, day.node))
    return day.prometheus.now(expr) if one.is_instant else day.prometheus.over_time(expr)


@pytest.mark.parametrize("one", ASKED, ids=[f"{one.dashboard}-{one.panel}" for one in ASKED])
def test_the_query_has_an_answer_with_the_labels_that_are_shown(day: Day, one: Asked) -> None:
    found = [series for series in answer(day, one) if series.has_numbers]

    if (one.dashboard, one.panel) not in EMPTY:
        assert found != [], one
    shown = {*LEGEND.findall(one.legend), *one.columns}
    assert [name for name in shown if all(name not in series.labels for series in found)] == []


@pytest.mark.parametrize("name", DASHBOARDS)
def test_every_variable_has_values(day: Day, name: str) -> None:
    asking = [one for one in variables(DASHBOARDS[name]).values() if one["type"] == "query"]
    known = values(day.prometheus, day.node)

    for one in asking:
        call = re.fullmatch(r"label_values\((.+), (\w+)\)", one["query"]["query"])
        assert call is not None, one
        found = day.prometheus.values(call[2], filled(call[1], known))
        assert known[one["name"]] in found


def test_no_panel_fails_for_all_jobs_and_all_nodes(day: Day) -> None:
    known = values(day.prometheus, day.node) | {"job": ".*", "node": ".*"}

    for one in ASKED:
        day.prometheus.over_time(filled(one.expr, known), step_seconds=20)


def test_every_rule_is_evaluated_and_a_dead_letter_is_told(day: Day) -> None:
    groups = day.prometheus.ask("rules")["groups"]
    health = {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}

    assert len(health) >= 11
    assert set(health.values()) == {"ok"}
    assert day.prometheus.number('ALERTS{alertname="CellnodeDeadLetters"}') == 1


def counted(day: Day) -> Counter[tuple[str, str]]:
    """What the bars of the status timeline add up to, by kind and status entered."""
    found: Counter[tuple[str, str]] = Counter()
    for one in ASKED:
        if one.dashboard == "cellnode-statuses" and one.panel.startswith("Statuses that"):
            kind = "instance" if 'kind="instance"' in one.expr else "node"
            for series in answer(day, one):
                number = sum(value for _, value in series.samples)
                found[kind, series.labels["to"]] += round(number)
    return +found


@pytest.fixture(scope="module")
def happened(day: Day) -> Counter[Change]:
    """All that an outside consumer has heard of, when everything is deleted: the last tests."""
    watched.buried(day)
    return watched.changes(day.world.statuses)


def test_the_bars_add_up_to_what_an_outside_consumer_has_heard(
    day: Day, happened: Counter[Change]
) -> None:
    entered: Counter[tuple[str, str]] = Counter()
    for (kind, _, to, _), number in happened.items():
        entered[kind, to] += number

    assert sum(happened.values()) > 30
    assert counted(day) == entered


def test_every_change_has_its_increment_by_from_to_and_reason(
    day: Day, happened: Counter[Change]
) -> None:
    scraped = {
        tuple(series.labels[name] for name in ("kind", "from", "to", "reason")): value
        for series in day.prometheus.now(CHANGES)
        for _, value in series.samples
        if value
    }

    assert scraped == dict(happened)


def test_every_change_stands_in_grafana_once(day: Day, happened: Counter[Change]) -> None:
    told = sum(number for change, number in happened.items() if change[2] != "gone")
    until("all of it stands there", lambda: len(day.grafana.told) >= told, seconds=20)
    ids = {tag for one in day.grafana.told for tag in one["tags"] if tag.startswith("change:")}

    assert len(day.grafana.told) == told == len(ids)
    assert any("LOAD_FAILED" in one["tags"] for one in day.grafana.told)


@pytest.mark.usefixtures("happened")
def test_no_series_outlives_its_node_or_instance(day: Day) -> None:
    for metric in ("node_status", "instance_status", "node_status_changes_total"):
        assert day.prometheus.now(f"cellnode_health_{metric}") == []
