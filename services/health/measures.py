"""The metrics of health."""

from __future__ import annotations

from services.chassis.metrics import Metrics


class Measures:
    """One of each per process."""

    def __init__(self, metrics: Metrics) -> None:
        self.events = metrics.counter(
            "events", "Status events, by kind and status.", ["kind", "status"]
        )
        self.illegal_moves = metrics.counter(
            "illegal_moves",
            "Moves that the table forbids; they changed nothing.",
        )
        self.probes = metrics.counter("probes", "Probes, by what they found.", ["outcome"])
        self.rebuilds = metrics.counter("projection_rebuilds", "Partitions projected anew.")
        self.contacts = metrics.gauge("contacts", "Instances that contact is kept with.")
        self.partitions = metrics.gauge("partitions", "Partitions owned here.")
        self.late = metrics.gauge("late_seconds", "How late the event loop was when last asked.")
        self.outbox = metrics.gauge("outbox_pending", "Status events that the bus has not taken.")
        self.projection_age = metrics.gauge(
            "projection_age_seconds", "Since Redis took the last step, by partition.", ["partition"]
        )
        self.redis_failures = metrics.gauge(
            "projection_failures", "Failed steps in a row, by partition.", ["partition"]
        )
