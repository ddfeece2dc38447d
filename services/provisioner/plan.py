"""plan: what to do next about a node. Pure: a crash after it costs one more plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.instances import Instance
from schemas.nodes import Node
from schemas.statuses import InstanceStatus, Reason
from services.provisioner.failures import (
    CALM_SECONDS,
    Failure,
    FailureKind,
    Statuses,
    due_at,
    failure_of,
    lost_at,
)

SURGE = 1  # So many instances above the wanted number during an update.


@dataclass(frozen=True)
class Want:
    """Record that instance `n` is wanted; then it is created."""

    n: int


@dataclass(frozen=True)
class Replace:
    """Want instance `n` in place of a lost one, which leaves as soon as that is recorded."""

    instance: str
    n: int
    is_silent: bool  # Counted by the brake.
    is_in_a_row: bool = True  # Counted by the growing delay.


@dataclass(frozen=True)
class Create:
    """Have the provider make the VM of an instance that is recorded as wanted."""

    instance: str


@dataclass(frozen=True)
class Delete:
    """Record that the instance goes, drain it, remove it."""

    instance: str
    reason: Reason


@dataclass(frozen=True)
class Remove:
    """Go on removing an instance that is recorded as going."""

    instance: str


@dataclass(frozen=True)
class CalmDown:
    """Forget the failures in a row: all instances have been healthy for a while."""


@dataclass(frozen=True)
class BuryNode:
    """The node is deleted and nothing of it is left."""


@dataclass(frozen=True)
class Wait:
    """Nothing more to do before this moment, unless something changes."""

    until: datetime


Action = Want | Replace | Create | Delete | Remove | CalmDown | BuryNode | Wait


def plan(
    node: Node, instances: Sequence[Instance], statuses: Statuses, now: datetime
) -> list[Action]:
    """Say what to do next, destructive steps last."""
    leaving = [instance for instance in instances if instance.deleting]
    removals: list[Action] = [Remove(instance.instance) for instance in leaving]
    if node.instances_wanted == 0:
        return _emptied(node, instances) + removals
    group = _Group(node, [one for one in instances if not one.deleting], statuses, now)
    return [*group.creations(), *group.additions(), *group.deletions(), *group.calm(), *removals]


def _emptied(node: Node, instances: Sequence[Instance]) -> list[Action]:
    if node.deleting and not instances:
        return [BuryNode()]
    reason = Reason.DELETE_REQUESTED if node.deleting else Reason.SUSPENDED_BY_OWNER
    return [Delete(one.instance, reason) for one in instances if not one.deleting]


class _Group:
    """The instances of a node that are not leaving, sorted by what they are good for."""

    def __init__(
        self, node: Node, staying: Sequence[Instance], statuses: Statuses, now: datetime
    ) -> None:
        self.node, self.statuses, self.now = node, statuses, now
        self.want = node.instances_wanted
        self.next_n = max([node.next_n, *(instance.n + 1 for instance in staying)])
        self.failures: dict[str, Failure] = {}
        for instance in staying:
            status = statuses.get(instance.instance)
            if failure := failure_of(instance, status, node, now):
                self.failures[instance.instance] = failure
        current = [one for one in staying if self._is_current(one)]
        self.old = [one for one in staying if not self._is_current(one)]
        self.fit = sorted((one for one in current if not self._failed(one)), key=self._worth)
        self.lost = sorted((one for one in current if self._failed(one)), key=lambda one: one.n)

    def creations(self) -> list[Action]:
        """VMs to make for instances that are recorded, refused ones when they are due."""
        actions: list[Action] = []
        for instance in self.fit[: self.want]:
            if instance.handle is not None:
                continue
            retry_at = instance.refused.retry_at if instance.refused else self.now
            due = retry_at <= self.now
            actions.append(Create(instance.instance) if due else Wait(retry_at))
        return actions

    def additions(self) -> list[Action]:
        """Instances to record: those never made yet at once, successors when they are due."""
        missing = self._missing()
        replaced = self._due()[:missing]
        fresh = max(0, missing - len(self.lost))
        ends = len(replaced)
        return [
            *(self._replacement(one, step) for step, one in enumerate(replaced)),
            *(Want(self.next_n + ends + step) for step in range(fresh)),
            *self._waits(missing),
        ]

    def deletions(self) -> list[Action]:
        """Instances that may leave without the healthy ones becoming fewer than wanted."""
        surplus = [Delete(one.instance, Reason.SCALED_DOWN) for one in self.fit[self.want :]]
        unneeded = self.lost[: max(0, len(self.lost) - self._vacant())]
        return [
            *surplus,
            *(Delete(one.instance, Reason.REPLACED) for one in unneeded),
            *(Delete(one.instance, Reason.OUT_OF_DATE) for one in self._outdated()),
        ]

    def calm(self) -> list[Action]:
        if not (self.node.failures_in_a_row or self.node.create_not_before):
            return []
        healthy = [one for one in self.fit if self._is_healthy(one)]
        if len(healthy) < self.want:
            return []
        calm_at = max(self.statuses[one.instance].since for one in healthy) + timedelta(
            seconds=CALM_SECONDS
        )
        return [CalmDown() if calm_at <= self.now else Wait(calm_at)]

    def _vacant(self) -> int:
        """Wanted places of this revision that no fit instance fills."""
        return max(0, self.want - len(self.fit))

    def _missing(self) -> int:
        """Vacant places that may be filled now: an update goes in steps while old ones serve."""
        serving = [one for one in self.old if self._is_healthy(one)]
        room = self.want + SURGE - len(serving) - len(self.fit) if serving else self.want
        return max(0, min(self._vacant(), room))

    def _due(self) -> list[Instance]:
        return [one for one in self.lost if self._due_at(one) <= self.now]

    def _due_at(self, instance: Instance) -> datetime:
        return due_at(self.failures[instance.instance], self.node)

    def _replacement(self, instance: Instance, step: int) -> Replace:
        failure = self.failures[instance.instance]
        is_silent = failure.kind is FailureKind.SILENT
        return Replace(
            instance.instance, self.next_n + step, is_silent, is_in_a_row=not failure.is_after_calm
        )

    def _waits(self, missing: int) -> list[Action]:
        """When the next of the lost is due, and when one in trouble will be lost."""
        later = [self._due_at(one) for one in self.lost if missing]
        for instance in self.fit:
            status = self.statuses.get(instance.instance)
            if status and status.status is InstanceStatus.UNHEALTHY and instance.handle:
                later.append(lost_at(status, self.node))
        later = [moment for moment in later if moment > self.now]
        return [Wait(min(later))] if later else []

    def _outdated(self) -> list[Instance]:
        """Old ones without a VM or dead at once, the others when enough are healthy."""
        useless = [one for one in self.old if self._is_useless(one)]
        rest = [one for one in self.old if one not in useless]
        healthy = sorted((one for one in rest if self._is_healthy(one)), key=lambda one: -one.n)
        fit = sum(self._is_healthy(one) for one in self.fit[: self.want])
        spare = fit + len(healthy) - self.want
        if spare < 0:
            return useless
        troubled = [one for one in rest if one not in healthy]
        return [*useless, *troubled, *healthy[:spare]]

    def _is_useless(self, instance: Instance) -> bool:
        """For certain: one that only seems to be starting may serve already, for all we know."""
        failure = self.failures.get(instance.instance)
        is_dead = failure and failure.kind in {FailureKind.EXITED, FailureKind.START}
        return instance.handle is None or bool(is_dead)

    def _is_current(self, instance: Instance) -> bool:
        return instance.revision == self.node.revision and instance.uid == self.node.uid

    def _failed(self, instance: Instance) -> bool:
        return instance.instance in self.failures

    def _is_healthy(self, instance: Instance) -> bool:
        status = self.statuses.get(instance.instance)
        return (
            instance.instance not in self.failures
            and status is not None
            and status.status is InstanceStatus.HEALTHY
        )

    def _worth(self, instance: Instance) -> tuple[bool, bool, int]:
        """The smaller the better: healthy ones, then those with a VM, then the oldest."""
        return (not self._is_healthy(instance), instance.handle is None, instance.n)
