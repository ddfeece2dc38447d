"""Bus and projection: is everybody reading, is nothing put aside, is what gateways read fresh?"""

from __future__ import annotations

from deploy.dashboards.board import Dashboard, Row, data_source, job
from deploy.dashboards.panels import STEP, Panel, Query, lines, stat, table, thresholds
from deploy.dashboards.queries import SERVICES, by_service, counted, of, quantile, rate


def dashboard() -> Dashboard:
    return Dashboard(
        uid="cellnode-bus",
        title="cellnode / Bus and projection",
        description="Kafka as the services see it, the projection in Redis, and event loops.",
        rows=[
            Row("Bus", _bus()),
            Row("Trouble", _trouble()),
            Row("Projection", _projection()),
            Row("Health", _health()),
            Row("Processes", _processes()),
            Row("Annotations", [_annotations()]),
        ],
        variables=[data_source(), job()],
        annotations=[],
    )


def _bus() -> list[Panel]:
    lag = by_service(f"sum by (topic) ({of('SERVICE_bus_lag_records')})")
    took = by_service(quantile(0.95, of("SERVICE_record_duration_seconds_bucket"), "topic"))
    folded = by_service(quantile(0.95, of("SERVICE_fold_duration_seconds_bucket"), "topic"))
    fates = by_service(rate(of("SERVICE_records_total"), "topic, fate"))
    return [
        lines(
            "Lag",
            "Records that wait behind the last one that was taken up, over all partitions.",
            Query(lag, "{{service}} {{topic}}"),
        ),
        lines(
            "Processing time, p95",
            "Of a handler, from a record read to its offset committed; of a table, for all that a "
            "single read has brought.",
            Query(took, "{{service}} {{topic}}"),
            Query(folded, "{{service}} {{topic}}, table"),
            unit="s",
            fill=0,
        ),
        lines(
            "Records",
            "Records a second, by what became of them.",
            Query(fates, "{{service}} {{topic}} {{fate}}"),
            unit="ops",
        ),
    ]


def _trouble() -> list[Panel]:
    dead = by_service(counted(of("SERVICE_dead_letters_total"), "topic, source"))
    failures = by_service(counted(of("SERVICE_bus_producer_failures_total"), "job"))
    rebalances = by_service(counted(of("SERVICE_bus_rebalances_total"), "job"))
    shared = {"bars": True, "stacked": True, "calcs": ("sum",), "interval": STEP}
    return [
        lines(
            "Dead letters",
            "Records that could be neither understood nor handled and were put aside.",
            Query(dead, "{{service}} {{topic}}"),
            **shared,
        ),
        lines(
            "Failures of producers",
            "Records that Kafka did not acknowledge in time, so that the producer was made anew.",
            Query(failures, "{{service}}"),
            **shared,
        ),
        lines(
            "Rebalances",
            "How often a group dealt out its partitions anew.",
            Query(rebalances, "{{service}}"),
            **shared,
        ),
    ]


def _projection() -> list[Panel]:
    return [
        lines(
            "Age in Redis",
            "Since Redis took the last step of each partition; there is one every second.",
            Query(
                f"max by (partition) ({of('health_projection_age_seconds')})",
                "partition {{partition}}",
            ),
            unit="s",
            limits=thresholds(("transparent", None), ("red", 10)),
        ),
        lines(
            "Age in gateways",
            "How old the copy of each gateway is.",
            Query(f"max by (instance) ({of('gateway_projection_age_seconds')})", "{{instance}}"),
            unit="s",
            limits=thresholds(("transparent", None), ("red", 10)),
        ),
        lines(
            "Rebuilds",
            "Partitions that were projected anew, as after a flush or a failover of Redis.",
            Query(counted(of("health_projection_rebuilds_total"), "job"), "rebuilds"),
            bars=True,
            calcs=("sum",),
            interval=STEP,
        ),
    ]


def _health() -> list[Panel]:
    buckets = of("health_probe_lateness_seconds_bucket")
    return [
        lines(
            "Outbox",
            "Status events that the bus has not taken yet.",
            Query(f"sum by (instance) ({of('health_outbox_pending')})", "{{instance}}"),
            width=6,
        ),
        lines(
            "Lateness of probes",
            "How much later than planned probes were sent. A checker that is late says nothing.",
            Query(quantile(0.5, buckets), "p50"),
            Query(quantile(0.99, buckets), "p99"),
            unit="s",
            fill=0,
            width=6,
        ),
        lines(
            "Probes",
            "Probes a second, by what they found.",
            Query(rate(of("health_probes_total"), "outcome"), "{{outcome}}"),
            unit="ops",
            stacked=True,
            width=6,
        ),
        stat(
            "Moves refused",
            "Moves that the table of statuses forbids; they changed nothing, and should be none.",
            Query(f"sum ({of('health_illegal_moves_total')})", "refused"),
            limits=thresholds(("green", None), ("red", 1)),
            width=6,
        ),
    ]


def _processes() -> list[Panel]:
    owned = by_service(f"sum by (instance) ({of('SERVICE_partitions')})", ("provisioner", "health"))
    lag = by_service(f"max by (instance) ({of('SERVICE_loop_lag_seconds')})", SERVICES)
    return [
        lines(
            "Partitions owned",
            "Each partition has one owner of each service; together they are all partitions.",
            Query(owned, "{{service}} {{instance}}"),
            stacked=True,
        ),
        lines(
            "Event loops",
            "How late the event loop of each process runs.",
            Query(lag, "{{service}} {{instance}}"),
            unit="s",
            fill=0,
        ),
        table(
            "Processes",
            "What Prometheus reaches now.",
            Query('up{job=~"$job"}', instant=True, format="table"),
            columns={"job": "Job", "service": "Service", "instance": "Address", "Value": "Up"},
            hidden=("Time", "__name__"),
            sort=("Up", False),
            defaults={
                "mappings": [
                    {
                        "type": "value",
                        "options": {
                            "0": {"text": "down", "color": "red", "index": 0},
                            "1": {"text": "up", "color": "green", "index": 1},
                        },
                    }
                ],
            },
        ),
    ]


def _annotations() -> Panel:
    return lines(
        "Changes told to Grafana",
        "What became of each change of status; nothing where the annotations service does not run.",
        Query(counted(of("annotations_changes_total"), "fate"), "{{fate}}"),
        bars=True,
        stacked=True,
        calcs=("sum",),
        placement="right",
        interval=STEP,
        width=24,
    )
