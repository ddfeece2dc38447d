"""Instances and statuses for tests of the plan, and a world that carries a plan out at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from schemas.commands import ResumeNode, SuspendNode
from schemas.decisions import decide
from schemas.events import InstanceStatusChanged
from schemas.instances import Deletion, Exit, Handle, Instance
from schemas.nodes import Node
from schemas.statuses import SENTENCES, InstanceStatus, Reason, Transition
from services.provisioner.failures import after_replacing
from services.provisioner.plan import (
    Action,
    BuryNode,
    CalmDown,
    Create,
    Delete,
    Remove,
    Replace,
    Wait,
    Want,
    plan,
)
from tests.builders import NOON, an_id, an_instance

HANDLE = Handle(provider="local", installation="i", host="h", boot="b", pid=7, start_time=1)
HEALTHY, UNHEALTHY = InstanceStatus.HEALTHY, InstanceStatus.UNHEALTHY


def running(node: Node, n: int = 1, **changes: Any) -> Instance:
    """With a VM since NOON."""
    made = {"kind": "InstanceCreated", "handle": HANDLE, "created_at": NOON}
    return an_instance(node, n, **{**made, **changes})


def exited(node: Node, n: int = 1, at: datetime = NOON, **changes: Any) -> Instance:
    return running(node, n, kind="InstanceExited", exited=Exit(signal=9, at=at), **changes)


def status(
    instance: Instance, what: InstanceStatus, why: Reason = Reason.READY, since: datetime = NOON
) -> InstanceStatusChanged:
    step = Transition(status=what.value, reason=why, at=since)
    return InstanceStatusChanged(
        id=an_id(1),
        at=since,
        since=since,
        project=instance.project,
        node=instance.node,
        uid=instance.uid,
        generation=1,
        instance=instance.instance,
        revision=instance.revision,
        status=what,
        reason=why,
        sentence=SENTENCES[why],
        transitions=(step,),
    )


def healthy(*instances: Instance, since: datetime = NOON) -> dict[str, InstanceStatusChanged]:
    return {one.instance: status(one, HEALTHY, since=since) for one in instances}


def planned(
    node: Node,
    instances: Sequence[Instance],
    statuses: dict[str, InstanceStatusChanged] | None = None,
    now: datetime = NOON,
) -> list[Action]:
    """What is to do, waiting left out."""
    actions = plan(node, instances, statuses or {}, now)
    return [action for action in actions if not isinstance(action, Wait)]


def deleted(actions: Sequence[Action]) -> list[str]:
    return [one.instance for one in actions if isinstance(one, Delete | Replace)]


@dataclass
class World:
    """Does at once what is planned, and counts what must never happen."""

    node: Node
    now: datetime = NOON
    instances: dict[str, Instance] = field(default_factory=dict)
    statuses: dict[str, InstanceStatusChanged] = field(default_factory=dict)
    starts: list[datetime] = field(default_factory=list)
    is_buried: bool = False

    def healthy(self) -> int:
        return sum(
            self.statuses[key].status is HEALTHY and not one.deleting and not one.exited
            for key, one in self.instances.items()
            if key in self.statuses
        )

    def step(self) -> list[Action]:
        """One pass: plan, and do all of it."""
        known = list(self.instances.values())
        actions = plan(self.node, known, self.statuses, self.now)
        before = self.healthy()
        for action in actions:
            self._do(action)
        lost = before - self.healthy()
        assert not lost or self.healthy() >= self.node.instances_wanted, "capacity was given up"
        return actions

    def command(self, kind: type[SuspendNode | ResumeNode]) -> None:
        command = kind(id=an_id(10_000 + self.node.generation), node=self.node.node)
        self.node = decide(self.node, command, self.now)

    def pass_time(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    def become(self, key: str, what: InstanceStatus, why: Reason = Reason.READY) -> None:
        self.statuses[key] = status(self.instances[key], what, why, since=self.now)

    def exit(self, key: str) -> None:
        self._change(key, exited=Exit(signal=9, at=self.now))
        self.become(key, UNHEALTHY, Reason.PROCESS_EXITED)

    def without_status(self) -> list[str]:
        """Those with a VM of which health has said nothing."""
        known = self.instances.items()
        return [key for key, one in known if one.handle and key not in self.statuses]

    def _do(self, action: Action) -> None:
        match action:
            case Want(n):
                self._want(n)
            case Replace(instance, n, _, is_in_a_row):
                self._want(n)
                self.node = after_replacing(self.node, int(is_in_a_row), self.now)
                self._leave(instance, Reason.REPLACED)
            case Create(instance):
                self.starts.append(self.now)
                self._change(instance, handle=HANDLE, created_at=self.now)
            case Delete(instance, reason):
                self._leave(instance, reason)
            case Remove(instance):
                del self.instances[instance]
                self.statuses.pop(instance, None)
            case CalmDown():
                calm = {"failures_in_a_row": 0, "create_not_before": None}
                self.node = self.node.model_copy(update=calm)
            case BuryNode():
                assert not self.instances
                self.is_buried = True

    def _want(self, n: int) -> None:
        assert n >= self.node.next_n, "a number was used twice"
        instance = an_instance(self.node, n, wanted_at=self.now)
        self.instances[instance.instance] = instance
        self.node = self.node.model_copy(update={"next_n": n + 1})

    def _leave(self, key: str, reason: Reason) -> None:
        self._change(key, deleting=Deletion(reason=reason, at=self.now))

    def _change(self, key: str, **changes: Any) -> None:
        self.instances[key] = self.instances[key].model_copy(update=changes)
