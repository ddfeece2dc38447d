"""The metrics of the provisioner."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from schemas.commands import COMMAND_KINDS
from schemas.events import CommandAccepted, CommandRejected
from services.chassis.metrics import Metrics
from services.chassis.metrics_text import Sample

ACCEPTED = "ACCEPTED"
ANY = "any"  # The kind of a command that is none of ours: it may be anything a sender wrote.


class Measures:
    """One of each per process."""

    def __init__(self, metrics: Metrics) -> None:
        self._commands = metrics.counter(
            "commands",
            f"Commands decided, by kind and outcome: {ACCEPTED}, or why it was rejected; "
            f"a kind that is not known is `{ANY}`.",
            ["kind", "outcome"],
        )
        self.actions = metrics.counter(
            "actions", "Actions on instances, by kind and result.", ["kind", "result"]
        )
        self.action_seconds = metrics.seconds(
            "action_duration", "From start to end of an action on an instance.", ["kind"]
        )
        self.usage_seconds = metrics.counter(
            "usage_seconds", "Instance-seconds metered by this process.", ["instance_type"]
        )
        self.count_instances: Callable[[], int] = lambda: 0  # Given by who wires the service.
        self.count_partitions: Callable[[], int] = lambda: 0
        metrics.read_gauge(
            "instances",
            "Instances on record in the owned partitions, going ones included.",
            [],
            lambda: _one(self.count_instances()),
        )
        metrics.read_gauge(
            "partitions", "Partitions owned here.", [], lambda: _one(self.count_partitions())
        )

    def decided(self, outcome: CommandAccepted | CommandRejected) -> str:
        """Count it; tell in one word what was said."""
        said = ACCEPTED if isinstance(outcome, CommandAccepted) else outcome.reason.value
        kind = outcome.command_kind
        self._commands.labels(kind if kind in COMMAND_KINDS else ANY, said).inc()
        return said


def _one(count: int) -> Sequence[Sample]:
    return [((), count)]
