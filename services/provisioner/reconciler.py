"""Makes the world as the nodes say: level-triggered, a loop per node, forgiving."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from schemas.instances import Deletion, Instance
from schemas.nodes import Node
from schemas.statuses import Reason
from services.chassis.clock import Clock
from services.chassis.loops import KeyedLoop, Pace
from services.chassis.telemetry import Causes, logger
from services.provisioner.actor import Actor
from services.provisioner.book import Book
from services.provisioner.brake import Brake
from services.provisioner.bursts import Bursts
from services.provisioner.failures import after_replacing
from services.provisioner.measures import Measures
from services.provisioner.metering import Metering
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
from services.provisioner.providers import Provider
from services.provisioner.settings import ProvisionerSettings

DESTRUCTIVE = (Replace, Delete, BuryNode)
PASSES_IN_FLIGHT_MAX = 32

A = TypeVar("A")

log = logger("provisioner.reconciler")


class Reconciler:
    """A lost wake-up costs one resync, never correctness; what fails is planned again."""

    def __init__(
        self,
        book: Book,
        provider: Provider,
        settings: ProvisionerSettings,
        *,
        commands_at_hand: Callable[[str], int],
        meter: Metering,
        clock: Clock,
        measures: Measures,
    ) -> None:
        self._book = book
        self._provider = provider
        self._clock = clock
        pace = Pace(
            in_flight_max=PASSES_IN_FLIGHT_MAX,
            between_seconds=0.01,
            resync_seconds=settings.resync_seconds,
        )
        self._loop: KeyedLoop[str] = KeyedLoop(
            "provisioner.reconcile", self._pass, keys=book.places, pace=pace, clock=clock
        )
        self.actor = Actor(
            book,
            provider,
            settings,
            close=meter.close,
            wake=self._loop.wake,
            clock=clock,
            measures=measures,
        )
        self._brakes: dict[str, Brake] = {}
        self._bursts = Bursts(commands_at_hand, clock)
        self._causes = Causes()
        self._preparing: set[asyncio.Task[None]] = set()
        book.listen(lambda place, _: self._wake_owned(place))

    def wake(self, place: str) -> None:
        """Something new is wanted there."""
        self._bursts.came(place)
        self._causes.note(place)
        self._loop.wake(place, fresh=True)

    def wake_all(self) -> None:
        self._loop.wake_all()

    async def run(self) -> None:
        """Until cancelled; then actions under way stop where they are, the VMs live on."""
        try:
            await self._loop.run()
        finally:
            await self.actor.drop(lambda _: False)
            for task in self._preparing:
                task.cancel()

    def _wake_owned(self, place: str) -> None:
        if self._book.owns(place):
            self._causes.note(place)
            self._loop.wake(place)

    async def _pass(self, place: str) -> float | None:
        if not self._book.owns(place):
            return None
        if (seconds := self._bursts.wait_seconds(place)) > 0:
            return seconds
        with self._causes.step("reconcile", place, {"cellnode.node": place}):
            return await self._made_so(place)

    async def _made_so(self, place: str) -> float | None:
        for instance in self._book.instances(place):
            await self.actor.adopt(instance)
        node, instances = self._book.node(place), self._book.instances(place)
        now = self._clock.now()
        actions = self._planned(place, node, instances, now)
        await self._record(place, node, actions, now)
        for action in actions:
            self._start(place, action)
        if any(isinstance(action, BuryNode) for action in actions):
            await self._bury(place)
        return _seconds_until(actions, now)

    def _planned(
        self, place: str, node: Node | None, instances: Sequence[Instance], now: datetime
    ) -> list[Action]:
        if node is None:
            actions = _without_node(instances)
        else:
            planned = plan(node, instances, self._book.statuses(place), now)
            brake = self._brakes.setdefault(place, Brake())
            actions = brake.hold(planned, node.instances_wanted, now)
        if not self._book.is_complete(place):
            log.warning("tables are incomplete, nothing is removed", node=place)
            actions = [action for action in actions if not isinstance(action, DESTRUCTIVE)]
        return actions

    async def _record(
        self, place: str, node: Node | None, actions: Sequence[Action], now: datetime
    ) -> None:
        """First what is wanted, read back; only then what leaves because of it."""
        wanted = [action for action in actions if isinstance(action, Want | Replace)]
        if node is not None and wanted:
            self._prepare(node)
            if not await self._record_wanted(node, wanted, now):
                return
        if node is not None and _of(actions, CalmDown):
            await self._calm_down(node)
        leaving = [(one.instance, Reason.REPLACED) for one in _of(actions, Replace)]
        leaving += [(one.instance, one.reason) for one in _of(actions, Delete)]
        await asyncio.gather(*(self._record_leaving(place, key, why) for key, why in leaving))

    async def _record_wanted(
        self, node: Node, wanted: Sequence[Want | Replace], now: datetime
    ) -> bool:
        """Count the numbers in the node's record, and the failures that made them necessary."""
        replaced = _of(wanted, Replace)
        numbers = [one.n for one in wanted]
        async with self._book.changing(node.place) as present:
            if present is None or present.generation != node.generation:
                self._loop.wake(node.place)
                return False
            failures = sum(one.is_in_a_row for one in replaced)
            counted = after_replacing(present, failures, now) if failures else present
            next_n = max(present.next_n, *(n + 1 for n in numbers))
            instances = [self._wanted(counted, n, now) for n in numbers]
            await asyncio.gather(
                self._book.put_node(counted.model_copy(update={"next_n": next_n})),
                self._book.put_wanted(instances),
            )
        for one in replaced:
            if one.is_silent:
                self._brakes[node.place].remember(now)
        for instance in instances:
            self.actor.create(instance)
        return True

    def _wanted(self, node: Node, n: int, now: datetime) -> Instance:
        return Instance(
            id=self._clock.uuid(),
            at=now,
            project=node.project,
            node=node.node,
            instance=node.instance_id(n),
            uid=node.uid,
            n=n,
            generation=node.generation,
            revision=node.revision,
            instance_type=node.spec.instance_type,
            wanted_at=now,
        )

    async def _calm_down(self, node: Node) -> None:
        calm = {"failures_in_a_row": 0, "create_not_before": None}
        async with self._book.changing(node.place) as present:
            if present is not None and present.generation == node.generation:
                await self._book.put_node(present.model_copy(update=calm))

    async def _record_leaving(self, place: str, key: str, why: Reason) -> None:
        instance = self._book.instance(place, key)
        if instance is None or instance.deleting:
            return
        log.info("instance leaves", node=place, instance=key, reason=why)
        deletion = Deletion(reason=why, at=self._clock.now())
        await self._book.put_fact(instance, "InstanceDeleting", deleting=deletion)

    def _start(self, place: str, action: Action) -> None:
        if not isinstance(action, Create | Remove | Replace | Delete):
            return
        instance = self._book.instance(place, action.instance)
        if instance is None or not self.actor.is_free(action.instance):
            return
        if isinstance(action, Create):
            self.actor.create(instance)
        elif instance.deleting:
            self.actor.remove(instance)

    async def _bury(self, place: str) -> None:
        async with self._book.changing(place) as node:
            is_over = node is not None and node.deleting and not self._book.instances(place)
            if is_over:
                await self._book.bury_node(place)
        if is_over:
            self._brakes.pop(place, None)
            self._loop.forget(place)
            log.info("node gone", node=place)

    def _prepare(self, node: Node) -> None:
        """What every start of this spec needs goes on while the wish is recorded."""
        task = asyncio.create_task(self._provider.prepare(node.spec), name=f"prepare:{node.place}")
        self._preparing.add(task)
        task.add_done_callback(self._preparing.discard)


def _without_node(instances: Sequence[Instance]) -> list[Action]:
    """A node that is gone has no instances: these were left over."""
    return [
        Remove(one.instance) if one.deleting else Delete(one.instance, Reason.DELETE_REQUESTED)
        for one in instances
    ]


def _of(actions: Sequence[Action], kind: type[A]) -> list[A]:
    return [action for action in actions if isinstance(action, kind)]


def _seconds_until(actions: Sequence[Action], now: datetime) -> float | None:
    waits = [(wait.until - now).total_seconds() for wait in _of(actions, Wait)]
    return max(0.0, min(waits)) if waits else None
