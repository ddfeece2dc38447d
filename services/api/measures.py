"""The metrics of the api."""

from __future__ import annotations

from services.chassis.metrics import Metrics

NOTHING = "none"  # The operation of a path where there is none.


class Measures:
    """One of each per process."""

    def __init__(self, metrics: Metrics) -> None:
        self.requests = metrics.counter(
            "requests", "Answers, by operation and status code.", ["operation", "status"]
        )
        self.seconds = metrics.seconds(
            "request_duration",
            "From the head of a request to its answer, streams left out.",
            ["operation"],
        )
        self.commands = metrics.counter("commands", "Commands published, by kind.", ["kind"])
        self.streams = metrics.gauge("event_streams", "Streams of events that are open.")
        self.waits = metrics.gauge("waits", "Requests that wait for what they asked for.")
        self.events = metrics.counter("events", "Public events read, by kind.", ["kind"])

    def answered(self, operation: str, status: int, seconds: float | None) -> None:
        """`seconds` None: a stream, which lasts as long as its reader likes."""
        self.requests.labels(operation, str(status)).inc()
        if seconds is not None:
            self.seconds.labels(operation).observe(seconds)
