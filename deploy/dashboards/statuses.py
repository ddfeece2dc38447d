"""Status timeline: the statuses of nodes and instances as the status events told them."""

from __future__ import annotations

from deploy.dashboards import changes
from deploy.dashboards.board import Dashboard, Row, data_source, job, linked, nodes, told
from deploy.dashboards.panels import STEP, Panel, Query, column, table, text, timeline
from deploy.dashboards.queries import NODE, counted_in_all, numbered, of
from deploy.dashboards.words import OF_INSTANCES, OF_NODES

ABOUT = """
Each band is a status as the metrics of **health** showed it at a scrape; statuses shorter than that
are missing there, never below: **every** status event adds one to a counter by *from*, *to* and
*reason*, and, where annotations are set up, stands as a mark with its reason and its sentence.
"""


def dashboard() -> Dashboard:
    return Dashboard(
        uid="cellnode-statuses",
        title="cellnode / Status timeline",
        description="Statuses of nodes and instances over time, in their exact words.",
        rows=[
            Row("Nodes", [_nodes()]),
            Row("Instances", [_instances()]),
            Row("Every change, counted", _counts()),
        ],
        variables=[data_source(), job(), nodes(has_all=True)],
        annotations=[told("Changes of status", "cellnode")],
    )


def _nodes() -> Panel:
    return timeline(
        "Nodes",
        "The status of each node. A name leads to the node's detail.",
        Query(numbered("health_node_status", OF_NODES, "node", NODE), "{{node}}"),
        defaults=linked(),
        width=24,
        height=10,
    )


def _instances() -> Panel:
    return timeline(
        "Instances",
        "The status of each instance; a row ends when the instance is gone.",
        Query(
            numbered("health_instance_status", OF_INSTANCES, "node, instance_id", NODE),
            "{{instance_id}}",
        ),
        defaults=linked(),
        width=24,
        height=14,
    )


def _counts() -> list[Panel]:
    return [
        changes.by_status("node"),
        changes.by_status("instance"),
        _moves(),
        text("How to read this", ABOUT, width=8, height=10),
    ]


def _moves() -> Panel:
    counter = of("health_status_changes_total")
    return table(
        "Changes in the range shown",
        "How often what became what, and why.",
        Query(counted_in_all(counter, "kind, from, to, reason"), instant=True, format="table"),
        columns={
            "kind": "Kind", "from": "From", "to": "To", "reason": "Reason", "Value": "Times",
        },
        sort=("Times", True),
        width=16,
        height=10,
        interval=STEP,
        overrides=[
            column("Times", unit="none", decimals=0, custom__width=100),
            *(changes.word_column(name, custom__width=120) for name in ("From", "To")),
        ],
    )  # fmt: skip
