"""Node detail: one node, its status and why, its instances, its calls."""

from __future__ import annotations

from deploy.dashboards import calls, changes
from deploy.dashboards.board import Dashboard, Row, data_source, job, nodes, told
from deploy.dashboards.panels import Panel, Query, lines, stat, thresholds, timeline
from deploy.dashboards.queries import THIS_NODE, numbered, of, quantile, rate
from deploy.dashboards.words import OF_INSTANCES, OF_NODES, coloured, mapped


def dashboard() -> Dashboard:
    return Dashboard(
        uid="cellnode-node",
        title="cellnode / Node detail",
        description="One node: what it is and why, its instances over time, its calls.",
        rows=[
            Row("Now", _now()),
            Row("Statuses", _statuses()),
            Row("Starting, and time in statuses", [*_starting()]),
            Row("Calls", _calls()),
        ],
        variables=[data_source(), job(), nodes(has_all=False)],
        annotations=[told("Changes of the node and its instances", "cellnode", "node:$node")],
    )


def _now() -> list[Panel]:
    return [
        stat(
            "Status",
            "What the node's instances add up to.",
            Query(numbered("health_node_status", OF_NODES, "node", THIS_NODE), "{{node}}"),
            defaults={"mappings": mapped()},
            background=True,
            text="value",
            width=4,
            height=6,
        ),
        _instances(),
        changes.latest("Why: the latest changes", THIS_NODE, width=14, height=6),
    ]


def _instances() -> Panel:
    shown = {"healthy": "healthy", "minimum": "minimum", "wanted": "wanted"}
    return stat(
        "Instances",
        "Healthy instances, the least that makes the node HEALTHY, and how many are wanted.",
        *(
            Query(f"max ({of(f'health_node_{name}_instances', THIS_NODE)})", word)
            for name, word in shown.items()
        ),
        limits=thresholds(("text", None)),
        width=6,
        height=6,
    )


def _statuses() -> list[Panel]:
    return [
        timeline(
            "The node",
            "Its status at every scrape.",
            Query(numbered("health_node_status", OF_NODES, "node", THIS_NODE), "{{node}}"),
            width=24,
            height=4,
        ),
        timeline(
            "Its instances",
            "The status of each of its instances at every scrape; a row ends when an instance is "
            "gone. Shorter statuses are among the annotations.",
            Query(
                numbered("health_instance_status", OF_INSTANCES, "instance_id", THIS_NODE),
                "{{instance_id}}",
            ),
            width=24,
            height=10,
        ),
        changes.of_nodes_by_reason(THIS_NODE),
        _healthy(),
    ]


def _healthy() -> Panel:
    return lines(
        "Healthy against wanted",
        "Below the minimum the node is UNHEALTHY.",
        Query(f"max ({of('health_node_healthy_instances', THIS_NODE)})", "healthy"),
        Query(f"max ({of('health_node_wanted_instances', THIS_NODE)})", "wanted"),
        Query(f"max ({of('health_node_minimum_instances', THIS_NODE)})", "minimum"),
        width=12,
        fill=0,
        overrides=_plain({"healthy": "green", "wanted": "blue", "minimum": "orange"}),
    )


def _plain(colours: dict[str, str]) -> list[dict[str, object]]:
    return [
        {
            "matcher": {"id": "byName", "options": name},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
        }
        for name, colour in colours.items()
    ]


def _starting() -> list[Panel]:
    seen = f"count_over_time({of('health_instance_status', THIS_NODE)}[$__range])"
    return [
        stat(
            "Where its instances spent their time",
            "Share of all scrapes of the node's instances in the range shown, by status.",
            Query(f"sum by (status) ({seen}) / scalar(sum ({seen}))", "{{status}}", instant=True),
            unit="percentunit",
            overrides=coloured(*OF_INSTANCES),
            width=8,
        ),
        changes.start_phases(width=8),
        changes.time_in_status(width=8),
    ]


def _calls() -> list[Panel]:
    buckets = of("gateway_request_duration_seconds_bucket", THIS_NODE)
    tiles = [
        ("Calls a second", rate(of("gateway_requests_total", THIS_NODE)), "reqps"),
        ("Share of 5xx", calls.error_ratio(THIS_NODE), "percentunit"),
        ("p95", quantile(0.95, buckets), "s"),
    ]
    return [
        *(
            stat(title, "Lately.", Query(expr, title), unit=unit, graph="area", height=4)
            for title, expr, unit in tiles
        ),
        *calls.red(THIS_NODE),
        calls.spread(THIS_NODE, width=8),
        calls.load(THIS_NODE),
        calls.refused(THIS_NODE),
    ]
