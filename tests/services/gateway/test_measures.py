"""What the gateway counts of each node, and that nobody outside can make it count more."""

from __future__ import annotations

from collections.abc import Mapping

from schemas.projection import Change, ProjectedTable
from services.chassis.metrics import Metrics
from services.gateway.endpoints import Endpoint, RoutedNode
from services.gateway.local_copy import LocalCopy
from services.gateway.measures import Measures
from tests.builders import a_node
from tests.exposition import label_values, number, promtool_says, series, shown
from tests.services.gateway.agents import echoes, says, sleeps
from tests.services.gateway.waiting import until
from tests.services.gateway.wire import request
from tests.services.gateway.world import World

NODES = 200
PREFIX = "cellnode_gateway_"


class Site:
    """A gateway that only knows nodes."""

    def __init__(self) -> None:
        self.metrics = Metrics("gateway")
        self.measures = Measures(self.metrics)
        self.now_ms = 0.0
        self.copy = LocalCopy(
            1,
            measures=self.measures,
            endpoint=_none_is_made,
            changed=lambda node: None,
            wall_ms=lambda: self.now_ms,
        )
        self.measures.site = self

    @property
    def nodes(self) -> Mapping[str, RoutedNode]:
        return self.copy.nodes

    def active(self) -> Mapping[str, int]:
        return {}

    def gauges(self) -> dict[str, float]:
        names = ("api_requests", "connections", "held_bytes", "nodes", "endpoints")
        age = {"projection_age_seconds": self.copy.age_seconds()}
        return dict.fromkeys((*names, "partitions_seen", "partitions_wanted"), 0.0) | age

    @property
    def text(self) -> str:
        return self.metrics.text().decode()


def _none_is_made(instance: str, url: str) -> Endpoint:
    raise AssertionError(f"{instance} at {url} is asked for")


def test_two_hundred_nodes_that_are_gone_leave_no_series() -> None:
    site = Site()
    site.copy.replace(0, {}, 0.0)
    before = series(site.text)
    places = {f"default/n{n}": a_node(f"n{n}").model_dump_json().encode() for n in range(NODES)}
    for place, record in places.items():
        site.copy.apply(0, Change(ProjectedTable.NODES, place, record))
        site.nodes[place].counts.answered(200, 0.002)
        site.nodes[place].counts.refused["queue-full"] += 1
    assert label_values(site.text, "node") == {"", *places}
    assert series(site.text) - before > NODES * 20
    for place in places:
        site.copy.apply(0, Change(ProjectedTable.NODES, place, b""))

    assert label_values(site.text, "node") == {""}
    assert series(site.text) == before


def test_a_projection_that_never_came_grows_older_from_the_start() -> None:
    site = Site()
    site.now_ms = 90_000.0
    assert number(site.text, f"{PREFIX}projection_age_seconds") == 90

    site.copy.replace(0, {}, 89_000.0)
    assert number(site.text, f"{PREFIX}projection_age_seconds") == 1


async def text_of(world: World) -> str:
    wire = await world.wire()
    await wire.send(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
    return (await wire.reply()).body.decode()


async def test_each_call_counts_for_its_node(world: World) -> None:
    await world.agents("good", echoes)
    for _ in range(3):
        assert (await world.call("good")).status == 200
    world.projecting.serve("empty", [])
    await world.routed(a_node("empty"), 0)
    assert (await world.call("empty")).status == 503
    text = await text_of(world)

    good, empty = {"node": "default/good"}, {"node": "default/empty"}
    assert number(text, f"{PREFIX}requests_total", **good) == 3
    assert number(text, f"{PREFIX}requests_total", **good, code="200") == 3
    assert number(text, f"{PREFIX}request_duration_seconds_count", **good) == 3
    assert 0 < number(text, f"{PREFIX}request_duration_seconds_sum", **good) < 3 * 10
    assert number(text, f"{PREFIX}requests_total", **empty, code="503") == 1
    refused = number(text, f"{PREFIX}requests_refused_total", **empty, reason="no-healthy-instance")
    assert refused == 1
    assert promtool_says(text) == ""


async def test_names_and_codes_from_outside_make_no_series(world: World) -> None:
    strange = b"HTTP/1.1 %d Strange\r\nCellnode-Instance: {instance}\r\nContent-Length: 0\r\n\r\n"
    await world.agents("strange", says(strange % 799))
    wire = await world.wire()
    for n in range(50):
        assert (await wire.call(f"nobody-{n}", b"{}")).status == 404
    assert (await world.call("strange", Cellnode_Project='evil"} 1')).status == 404
    assert (await world.call("strange")).status == 799
    text = await text_of(world)

    assert label_values(text, "node") == {"", "default/strange"}
    codes = label_values(text, "code")
    assert codes <= {"200", "404", "other"}
    assert number(text, f"{PREFIX}requests_total", node="", code="404") == 51
    assert number(text, f"{PREFIX}requests_total", code="other") == 1


async def test_who_waits_and_who_is_served_is_told_apart(world: World) -> None:
    await world.agents("slow", sleeps(30.0), queue_max=5)
    wires = [await world.wire() for _ in range(3)]
    for wire in wires:
        await wire.send(request("slow", b"{}"))
    node = {"node": "default/slow"}
    await until(lambda: world.gauges["queued"] == 2)
    text = await text_of(world)

    assert number(text, f"{PREFIX}requests_in_flight", **node) == 1
    assert number(text, f"{PREFIX}requests_queued", **node) == 2


def test_its_names_are_a_contract() -> None:
    assert shown(Site().metrics, PREFIX) == {
        "requests_total": ("counter", "node code"),
        "request_duration_seconds": ("histogram", "node"),
        "requests_refused_total": ("counter", "node reason"),
        "requests_in_flight": ("gauge", "node"),
        "requests_queued": ("gauge", "node"),
        "requests_resent_total": ("counter", ""),
        "upstream_failures_total": ("counter", ""),
        "projection_values_refused_total": ("counter", ""),
        "projection_reloads_total": ("counter", ""),
        "api_requests_total": ("counter", "code"),
        "api_requests_in_flight": ("gauge", ""),
        "connections": ("gauge", ""),
        "held_bytes": ("gauge", ""),
        "nodes": ("gauge", ""),
        "endpoints": ("gauge", ""),
        "projection_age_seconds": ("gauge", ""),
        "projection_partitions": ("gauge", "state"),
    }
