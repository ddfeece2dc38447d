"""The metrics of annotations."""

from __future__ import annotations

from services.chassis.metrics import Metrics

WRITTEN, THERE, OLD, REFUSED = "written", "there", "old", "refused"


class Measures:
    """One of each per process."""

    def __init__(self, metrics: Metrics) -> None:
        self.changes = metrics.counter(
            "changes",
            "Changes of status by what became of them: written, found to be there already, "
            "too old, or refused by Grafana.",
            ["fate"],
        )
        for fate in (WRITTEN, THERE, OLD, REFUSED):
            self.changes.labels(fate)
        self.failures = metrics.counter("failures", "Tries that Grafana did not answer well.")
        self.waits = metrics.gauge("waits", "1 while Grafana is away and a change waits for it.")

    def count(self, fate: str, number: int = 1) -> None:
        self.changes.labels(fate).inc(number)
