"""Fleet overview: is everything as it is wanted, and if not, where?"""

from __future__ import annotations

from deploy.dashboards import calls, changes
from deploy.dashboards.board import Dashboard, Row, data_source, job, linked, to_node, told
from deploy.dashboards.panels import (
    STEP,
    Panel,
    Query,
    alerts,
    column,
    lines,
    stat,
    table,
    thresholds,
    timeline,
)
from deploy.dashboards.queries import counted, numbered, of, rate
from deploy.dashboards.words import OF_INSTANCES, OF_NODES, coloured, mapped

FIRING = 'ALERTS{alertstate="firing", alertname=~"Cellnode.+"}'
BUSIEST_MAX = 10


def dashboard() -> Dashboard:
    return Dashboard(
        uid="cellnode-fleet",
        title="cellnode / Fleet overview",
        description="All nodes and instances: what they are, what changed and why, what calls see.",
        rows=[
            Row("Now", _now()),
            Row("Nodes", [_nodes(), _troubled()]),
            Row("Changes", _changes()),
            Row("Calls", [*calls.red(), _busiest(), calls.load(), calls.refused()]),
            Row("Use", [_metered(), _commands()]),
        ],
        variables=[data_source(), job()],
        annotations=[told("Changes of status", "cellnode", is_on=False)],
    )


def _wanted() -> str:
    """Of each node; a node that is stopped or leaving keeps its spec and wants none now."""
    stopped = of("health_node_status", 'status=~"SUSPENDED|DELETING"')
    return f"(max by (node) ({of('health_node_wanted_instances')}) unless on (node) {stopped})"


def _now() -> list[Panel]:
    healthy = of("health_node_healthy_instances")
    return [
        stat(
            "Nodes",
            "How many nodes are in which status.",
            Query(f"sum by (status) ({of('health_nodes')})", "{{status}}"),
            overrides=coloured(*OF_NODES),
            width=8,
            height=5,
        ),
        stat(
            "Instances",
            "How many instances are in which status.",
            Query(f"sum by (status) ({of('health_instances')})", "{{status}}"),
            overrides=coloured(*OF_INSTANCES),
            width=10,
            height=5,
        ),
        stat(
            "Healthy of wanted",
            "Healthy instances as a share of the wanted ones; a stopped node wants none.",
            Query(f"sum ({healthy}) / sum ({_wanted()})", "healthy"),
            unit="percentunit",
            defaults={"min": 0, "max": 1},
            limits=thresholds(("red", None), ("orange", 0.5), ("green", 1)),
            width=3,
            height=5,
        ),
        stat(
            "Alerts",
            "Alerts of cellnode that fire now.",
            Query(f"count ({FIRING}) or vector(0)", "firing"),
            limits=thresholds(("green", None), ("red", 1)),
            background=True,
            width=3,
            height=5,
        ),
    ]


def _nodes() -> Panel:
    """One row a node; the worst first."""
    shown = ("healthy", "wanted", "minimum")
    by_node = [f"max by (node) ({of(f'health_node_{name}_instances')})" for name in shown]
    missing = f"clamp_min({_wanted()} - on (node) {by_node[0]}, 0)"
    queries = [numbered("health_node_status", OF_NODES, "node"), *by_node, missing]
    return table(
        "Every node",
        "Every node with its status and its instances, those that miss most first. A name leads "
        "to the node's detail.",
        *(Query(one, instant=True, format="table") for one in queries),
        columns={
            "node": "Node",
            "Value #A": "Status",
            "Value #B": "Healthy",
            "Value #C": "Wanted",
            "Value #D": "Minimum",
            "Value #E": "Missing",
        },
        sort=("Missing", True),
        width=12,
        height=10,
        overrides=[
            column("Node", links=to_node("${__value.raw:percentencode}")),
            column("Status", mappings=mapped(), custom__displayMode="color-background-solid"),
            column(
                "Missing",
                thresholds=thresholds(("text", None), ("red", 1)),
                custom__displayMode="color-text",
            ),
        ],
    )


def _troubled() -> Panel:
    words = [word for word in OF_NODES if word != "HEALTHY"]
    return timeline(
        "Nodes while they were not HEALTHY",
        "Only nodes that were something else than HEALTHY at some time in the range shown; a gap "
        "is HEALTHY. Everything is on the status timeline.",
        Query(numbered("health_node_status", words, "node"), "{{node}}"),
        defaults=linked(),
        width=12,
        height=10,
    )


def _changes() -> list[Panel]:
    return [
        changes.by_reason("node"),
        changes.by_reason("instance"),
        changes.latest("Latest changes of nodes", width=14, height=9),
        alerts(
            "Alerts, firing and pending",
            "What Prometheus' rules of cellnode say now.",
            width=10,
            height=9,
        ),
    ]


def _busiest() -> Panel:
    return lines(
        "Busiest nodes",
        f"The {BUSIEST_MAX} nodes with most calls a second.",
        Query(
            f"topk({BUSIEST_MAX}, {rate(of('gateway_requests_total'), 'node')})",
            "{{node}}",
        ),
        unit="reqps",
        defaults=linked(),
    )


def _metered() -> Panel:
    return lines(
        "Metered instances",
        "Instance-seconds a second, as they are metered: how many instances cost something.",
        Query(rate(of("provisioner_usage_seconds_total"), "instance_type"), "{{instance_type}}"),
        stacked=True,
        width=12,
    )


def _commands() -> Panel:
    return lines(
        "Commands decided",
        "By kind and outcome: accepted, or why one was rejected.",
        Query(counted(of("provisioner_commands_total"), "kind, outcome"), "{{kind}} {{outcome}}"),
        bars=True,
        stacked=True,
        calcs=("sum",),
        placement="right",
        interval=STEP,
        width=12,
    )
