"""The metrics of health."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Protocol

from schemas.statuses import START_PATH, InstanceStatus, NodeStatus, Reason
from services.chassis.metrics import Metrics
from services.chassis.metrics_text import Sample
from services.health.ledger import GONE, INSTANCE, NODE, NOTHING, Change, Ledger
from services.health.verdict import Outcome

# From an instant to a week; a node may well be HEALTHY for longer.
STATUS_BUCKETS = (
    0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21_600, 86_400, 604_800,
)  # fmt: skip
LATENESS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
START_STEPS = tuple(pairwise(status.value for status in START_PATH))

_I, _N = InstanceStatus, NodeStatus
# What happens in every installation begins at 0, so that Prometheus sees the first as an increase.
USUAL: tuple[tuple[str, str, str, Reason], ...] = (
    (INSTANCE, NOTHING, _I.UNDEFINED.value, Reason.WANTED),
    (INSTANCE, _I.UNDEFINED.value, _I.CREATED.value, Reason.VM_CREATED),
    (INSTANCE, _I.CREATED.value, _I.STARTED.value, Reason.CONTACT),
    (INSTANCE, _I.STARTED.value, _I.PREPARING.value, Reason.LOADING),
    (INSTANCE, _I.PREPARING.value, _I.HEALTHY.value, Reason.READY),
    (INSTANCE, _I.HEALTHY.value, _I.UNHEALTHY.value, Reason.PROCESS_EXITED),
    (INSTANCE, _I.HEALTHY.value, _I.UNHEALTHY.value, Reason.PROBES_FAILED),
    (INSTANCE, _I.HEALTHY.value, _I.UNHEALTHY.value, Reason.INTERPRETER_CRASHED),
    (INSTANCE, _I.HEALTHY.value, _I.UNHEALTHY.value, Reason.DEADLINE_KILLED),
    (INSTANCE, _I.UNHEALTHY.value, _I.HEALTHY.value, Reason.PROBES_PASSED),
    (INSTANCE, _I.UNHEALTHY.value, _I.HEALTHY.value, Reason.STATE_LOST),
    (INSTANCE, _I.UNHEALTHY.value, _I.DELETING.value, Reason.REPLACED),
    (INSTANCE, _I.HEALTHY.value, _I.DELETING.value, Reason.DELETE_REQUESTED),
    (INSTANCE, _I.HEALTHY.value, _I.DELETING.value, Reason.SCALED_DOWN),
    (INSTANCE, _I.HEALTHY.value, _I.DELETING.value, Reason.OUT_OF_DATE),
    (INSTANCE, _I.HEALTHY.value, _I.DELETING.value, Reason.SUSPENDED_BY_OWNER),
    (INSTANCE, _I.DELETING.value, GONE, Reason.DELETE_REQUESTED),
    (INSTANCE, _I.DELETING.value, GONE, Reason.SCALED_DOWN),
    (INSTANCE, _I.DELETING.value, GONE, Reason.OUT_OF_DATE),
    (INSTANCE, _I.DELETING.value, GONE, Reason.REPLACED),
    (INSTANCE, _I.DELETING.value, GONE, Reason.SUSPENDED_BY_OWNER),
    (NODE, NOTHING, _N.CREATED.value, Reason.DEPLOYED),
    (NODE, _N.CREATED.value, _N.HEALTHY.value, Reason.ENOUGH_HEALTHY),
    (NODE, _N.CREATED.value, _N.UNHEALTHY.value, Reason.TOO_FEW_HEALTHY),
    (NODE, _N.HEALTHY.value, _N.UNHEALTHY.value, Reason.TOO_FEW_HEALTHY),
    (NODE, _N.UNHEALTHY.value, _N.HEALTHY.value, Reason.ENOUGH_HEALTHY),
    (NODE, _N.HEALTHY.value, _N.SUSPENDED.value, Reason.SUSPENDED_BY_OWNER),
    (NODE, _N.SUSPENDED.value, _N.HEALTHY.value, Reason.ENOUGH_HEALTHY),
    (NODE, _N.HEALTHY.value, _N.DELETING.value, Reason.DELETE_REQUESTED),
    (NODE, _N.UNHEALTHY.value, _N.DELETING.value, Reason.DELETE_REQUESTED),
    (NODE, _N.DELETING.value, GONE, Reason.DELETE_REQUESTED),
)  # fmt: skip


class Owned(Protocol):
    """What is read of a partition while it is owned here."""

    @property
    def ledger(self) -> Ledger: ...

    @property
    def pending(self) -> int: ...

    @property
    def projection_age_seconds(self) -> float: ...

    @property
    def projection_failures(self) -> int: ...


class Measures:
    """One of each per process. What is told of nodes and instances is read of their ledgers."""

    def __init__(self, metrics: Metrics) -> None:
        self.owned: Mapping[int, Owned] = {}  # Given by who wires the service.
        self.changes = metrics.counter(
            "status_changes",
            "Changes of status that were published, from `none` to `gone`.",
            ["kind", "from", "to", "reason"],
        )
        for kind, before, after, reason in USUAL:
            self.changes.labels(kind, before, after, reason.value)
        self.status_seconds = metrics.seconds(
            "status_duration",
            "Time spent in a status, observed when it is left.",
            ["kind", "status"],
            STATUS_BUCKETS,
        )
        self.start_seconds = metrics.seconds(
            "start_phase_duration",
            "Time in each status on the way of an instance that starts well.",
            ["phase"],
            STATUS_BUCKETS,
        )
        for phase, _ in START_STEPS:
            self.start_seconds.labels(phase)
        self.illegal_moves = metrics.counter(
            "illegal_moves",
            "Moves that the table forbids; they changed nothing.",
        )
        self._read_statuses(metrics)
        self._make_probes(metrics)
        self._read_partitions(metrics)

    def changed(self, change: Change) -> None:
        labels = (change.kind, change.before, change.after, change.reason.value)
        self.changes.labels(*labels).inc()
        if change.lasted_seconds is None:
            return
        self.status_seconds.labels(change.kind, change.before).observe(change.lasted_seconds)
        if change.kind == INSTANCE and (change.before, change.after) in START_STEPS:
            self.start_seconds.labels(change.before).observe(change.lasted_seconds)

    def probed(self, outcome: Outcome, late_seconds: float, took_seconds: float) -> None:
        self.probes.labels(outcome.value).inc()
        self.probe_lateness.observe(late_seconds)
        self.probe_seconds.observe(took_seconds)

    def _read_statuses(self, metrics: Metrics) -> None:
        read = metrics.read_gauge
        read("node_status", "1 for the present status of a node.", ["node", "status"], self._nodes)
        metrics.read_counter(
            "node_status_changes",
            "Changes of a node's status that were published since this process owns it.",
            ["node", "from", "to", "reason"],
            self._changes_of_nodes,
        )
        for field, name, what in (
            ("healthy", "healthy", "Healthy instances of a node."),
            ("want", "wanted", "Instances that a node's spec wants."),
            ("min", "minimum", "Healthy instances without which a node is not HEALTHY."),
        ):
            read(f"node_{name}_instances", what, ["node"], self._of_nodes(field))
        read(
            "instance_status",
            "1 for the present status of an instance.",
            ["node", "instance_id", "status"],
            self._instances,
        )
        read("nodes", "Nodes by their status.", ["status"], self._count_nodes)
        read("instances", "Instances by their status.", ["status"], self._count_instances)

    def _make_probes(self, metrics: Metrics) -> None:
        self.contacts = metrics.gauge("contacts", "Instances that contact is kept with.")
        self.probes = metrics.counter("probes", "Probes, by what they found.", ["outcome"])
        self.probe_seconds = metrics.seconds("probe_duration", "From asking to the verdict.")
        self.probe_lateness = metrics.seconds(
            "probe_lateness",
            "How late a probe was begun; late ones accuse nobody.",
            buckets=LATENESS_BUCKETS,
        )

    def _read_partitions(self, metrics: Metrics) -> None:
        read = metrics.read_gauge
        read("partitions", "Partitions owned here.", [], lambda: [((), len(self.owned))])
        read("outbox_pending", "Status events that the bus has not taken.", [], self._pending)
        self.rebuilds = metrics.counter("projection_rebuilds", "Partitions projected anew.")
        read(
            "projection_age_seconds",
            "Since Redis took the last step of a partition; at first, since it was taken over.",
            ["partition"],
            lambda: self._of_partitions("projection_age_seconds"),
        )
        read(
            "projection_failures",
            "Failed steps in a row, by partition.",
            ["partition"],
            lambda: self._of_partitions("projection_failures"),
        )

    # What is read when somebody asks.

    def _nodes(self) -> Iterator[Sample]:
        for one in self.owned.values():
            for event in one.ledger.nodes.values():
                yield (event.place, event.status.value), 1

    def _changes_of_nodes(self) -> Iterator[Sample]:
        for one in self.owned.values():
            for place, counts in one.ledger.changes.items():
                for labels, count in counts.items():
                    yield (place, *labels), count

    def _of_nodes(self, field: str) -> Callable[[], Iterator[Sample]]:
        def read() -> Iterator[Sample]:
            for one in self.owned.values():
                for event in one.ledger.nodes.values():
                    yield (event.place,), getattr(event, field)

        return read

    def _instances(self) -> Iterator[Sample]:
        for one in self.owned.values():
            for event in one.ledger.instances.values():
                yield (event.place, event.instance, event.status.value), 1

    def _count_nodes(self) -> Iterator[Sample]:
        events = (event for one in self.owned.values() for event in one.ledger.nodes.values())
        counts = Counter(event.status for event in events)
        return (((status.value,), counts[status]) for status in NodeStatus)

    def _count_instances(self) -> Iterator[Sample]:
        events = (event for one in self.owned.values() for event in one.ledger.instances.values())
        counts = Counter(event.status for event in events)
        return (((status.value,), counts[status]) for status in InstanceStatus)

    def _pending(self) -> list[Sample]:
        return [((), sum(one.pending for one in self.owned.values()))]

    def _of_partitions(self, field: str) -> Iterator[Sample]:
        for number, one in self.owned.items():
            yield (str(number),), getattr(one, field)
