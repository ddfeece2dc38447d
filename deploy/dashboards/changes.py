"""Panels about changes of status: counted to the one, by reason, and when they came last."""

from __future__ import annotations

from typing import Any

from deploy.dashboards.board import to_node
from deploy.dashboards.panels import STEP, Panel, Query, column, lines, table
from deploy.dashboards.queries import counted, last_changed, of, quantile_in_all
from deploy.dashboards.words import COLOURS, Json, coloured, mapped_words

COUNTS = "Each change of status counts, also where a status was too short for a scrape to see it."


def word_column(name: str, **more: Any) -> Json:
    """A column that holds words of statuses, in their colours."""
    return column(name, mappings=mapped_words(), custom__displayMode="color-text", **more)


def by_reason(kind: str, *, width: int = 12) -> Panel:
    """Of all nodes or instances; each bar is what happened in its step."""
    counter = of("health_status_changes_total", f'kind="{kind}"')
    return lines(
        f"Changes of {kind}s, by reason",
        COUNTS,
        Query(counted(counter, "reason"), "{{reason}}"),
        width=width,
        height=9,
        stacked=True,
        bars=True,
        calcs=("sum",),
        placement="right",
        interval=STEP,
    )


def by_status(kind: str, *, width: int = 12) -> Panel:
    """By the status that was entered, in its colour; `gone` is the end."""
    counter = of("health_status_changes_total", f'kind="{kind}"')
    return lines(
        f"Statuses that {kind}s entered",
        COUNTS,
        Query(counted(counter, "to"), "{{to}}"),
        width=width,
        height=9,
        stacked=True,
        bars=True,
        calcs=("sum",),
        placement="right",
        interval=STEP,
        overrides=coloured(*COLOURS),
    )


def of_nodes_by_reason(*matchers: str, width: int = 12) -> Panel:
    """Of the nodes that were chosen."""
    counter = of("health_node_status_changes_total", *matchers)
    return lines(
        "Changes of the node, by reason",
        COUNTS,
        Query(counted(counter, "reason"), "{{reason}}"),
        width=width,
        stacked=True,
        bars=True,
        calcs=("sum",),
        placement="right",
        interval=STEP,
    )


def latest(title: str, *matchers: str, width: int = 12, height: int = 8) -> Panel:
    """The last change of each kind, the newest first: its reason is why the node is what it is."""
    counter = of("health_node_status_changes_total", *matchers)
    labels = "node, from, to, reason"
    return table(
        title,
        "When each change was seen last in the range shown; the newest row tells why a node is "
        "what it is. The sentences are the annotations.",
        Query(last_changed(counter, labels), instant=True, format="table"),
        columns={
            "Value": "When", "node": "Node", "from": "From", "to": "To", "reason": "Reason",
        },
        sort=("When", True),
        width=width,
        height=height,
        interval=STEP,
        overrides=[
            column("When", unit="dateTimeFromNow", custom__width=150),
            column("Node", links=to_node("${__value.raw:percentencode}")),
            *(word_column(name, custom__width=120) for name in ("From", "To")),
        ],
    )  # fmt: skip


def time_in_status(*, width: int = 12) -> Panel:
    buckets = of("health_status_duration_seconds_bucket", 'kind="instance"')
    return _durations(
        "Time of instances in each status",
        "Observed when a status is left, of all nodes, in the range shown.",
        buckets,
        "status",
        width=width,
    )


def start_phases(*, width: int = 12) -> Panel:
    buckets = of("health_start_phase_duration_seconds_bucket")
    return _durations(
        "Start phases",
        "How long starting instances of all nodes stayed in each phase, in the range shown.",
        buckets,
        "phase",
        width=width,
    )


def _durations(title: str, description: str, buckets: str, label: str, *, width: int) -> Panel:
    quantiles = {"p50": 0.5, "p95": 0.95}
    return table(
        title,
        description,
        *(
            Query(quantile_in_all(share, buckets, label), instant=True, format="table")
            for share in quantiles.values()
        ),
        columns={label: label.capitalize(), "Value #A": "p50", "Value #B": "p95"},
        sort=("p95", True),
        unit="s",
        width=width,
        overrides=[
            word_column(label.capitalize()),
        ],
    )  # fmt: skip
