"""Gateway: rate, errors and duration of calls, what waits, and how old its copy of the truth is."""

from __future__ import annotations

from deploy.dashboards import calls
from deploy.dashboards.board import Dashboard, Row, data_source, job, linked, nodes
from deploy.dashboards.panels import Panel, Query, lines, thresholds
from deploy.dashboards.queries import NODE, of, quantile, rate

BUSIEST_MAX = 10


def dashboard() -> Dashboard:
    return Dashboard(
        uid="cellnode-gateway",
        title="cellnode / Gateway",
        description="Calls as gateways see them, and the gateways themselves.",
        rows=[
            Row("Rate, errors, duration", calls.red(NODE)),
            Row("By node", _by_node()),
            Row("Waiting and refusing", [calls.load(NODE), calls.refused(NODE), _again()]),
            Row("Gateways", _gateways()),
        ],
        variables=[data_source(), job(), nodes(has_all=True)],
        annotations=[],
    )


def _by_node() -> list[Panel]:
    requests = of("gateway_requests_total", NODE)
    failed = of("gateway_requests_total", NODE, 'code=~"5.."')
    buckets = of("gateway_request_duration_seconds_bucket", NODE)
    top = f"topk({BUSIEST_MAX}, "
    return [
        lines(
            "Requests by node",
            f"The {BUSIEST_MAX} busiest nodes. The empty name: calls of nodes that are not known.",
            Query(f"{top}{rate(requests, 'node')})", "{{node}}"),
            unit="reqps",
            defaults=linked(),
        ),
        lines(
            "Failed requests by node",
            f"Answers with a 5xx code, of the {BUSIEST_MAX} nodes that have most of them.",
            Query(f"{top}{rate(failed, 'node')})", "{{node}}"),
            unit="reqps",
            defaults=linked(),
        ),
        lines(
            "p95 by node",
            f"The {BUSIEST_MAX} slowest nodes.",
            Query(f"{top}{quantile(0.95, buckets, 'node')})", "{{node}}"),
            unit="s",
            defaults=linked(),
            fill=0,
        ),
    ]


def _again() -> Panel:
    return lines(
        "Sent again, and failures behind",
        "Calls that went to another instance, and connections to instances that failed.",
        Query(rate(of("gateway_requests_resent_total")), "sent again"),
        Query(rate(of("gateway_upstream_failures_total")), "failures of instances"),
        unit="ops",
    )


def _gateways() -> list[Panel]:
    return [
        lines(
            "Age of the copy",
            "Since each gateway last heard that its copy of the projection is whole. While Redis "
            "is away it goes on serving from memory, and this grows.",
            Query(f"max by (instance) ({of('gateway_projection_age_seconds')})", "{{instance}}"),
            unit="s",
            width=12,
            limits=thresholds(("transparent", None), ("red", 10)),
        ),
        lines(
            "Partitions seen",
            "A gateway answers 503 until it has seen all that are wanted once.",
            Query(
                f"max by (instance, state) ({of('gateway_projection_partitions')})",
                "{{instance}} {{state}}",
            ),
            fill=0,
            width=12,
        ),
        calls.spread(NODE, width=16),
        lines(
            "Passed on to the api",
            "Requests a second that are no calls of nodes, by class of code.",
            Query(calls.by_class(of("gateway_api_requests_total")), "{{class}}xx"),
            unit="reqps",
            stacked=True,
        ),
    ]
