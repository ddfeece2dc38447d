"""Every metric of every process as a page, asked of the code that makes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from docs import texts
from docs.render import table
from runtime.metrics import FAMILIES, PREFIX
from services.annotations.measures import Measures as AnnotationsMeasures
from services.api.measures import Measures as ApiMeasures
from services.chassis.bus_measures import BusMeasures
from services.chassis.measures import ProcessMeasures
from services.chassis.metrics import Metrics
from services.chassis.metrics_text import Family
from services.gateway.measures import Measures as GatewayMeasures
from services.health.measures import Measures as HealthMeasures
from services.provisioner.measures import Measures as ProvisionerMeasures

# What each service makes of the registry that its process gives it.
OF_SERVICES: dict[str, Callable[[Metrics], object]] = {
    "health": HealthMeasures,
    "gateway": GatewayMeasures,
    "provisioner": ProvisionerMeasures,
    "api": ApiMeasures,
    "annotations": AnnotationsMeasures,
}


def families(service: str, made: Callable[[Metrics], object]) -> list[Family]:
    metrics = Metrics(service)
    made(metrics)
    return metrics.families


def agent_families() -> list[Family]:
    own = ("instance_id",)
    return [
        Family(f"{PREFIX}{name}", kind, what, (*own, *labels))
        for name, (kind, what, labels) in FAMILIES.items()
    ]


def rows(shown: Iterable[Family]) -> str:
    return table(
        ("name", "type", "labels", "meaning"),
        (
            (f"`{one.name}`", one.kind, ", ".join(f"`{name}`" for name in one.labels), one.what)
            for one in shown
        ),
    )


def reference() -> str:
    service = "<service>"
    parts = [
        texts.METRICS.strip(),
        "## Labels",
        texts.METRIC_LABELS.strip(),
        "## Of every service",
        texts.METRICS_OF_PROCESSES.strip(),
        rows(families(service, ProcessMeasures)),
        "## Of every service on the bus",
        texts.METRICS_OF_THE_BUS.strip(),
        rows(families(service, BusMeasures)),
    ]
    for name, made in OF_SERVICES.items():
        parts += [f"## {name}", rows(families(name, made))]
    parts += ["## Of an instance", texts.METRICS_OF_AGENTS.strip(), rows(agent_families())]
    return "\n\n".join(parts)
