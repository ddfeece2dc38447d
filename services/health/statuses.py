"""The statuses of one partition: facts, phases and probes folded in, events out. The one writer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from schemas.errors import IllegalMove
from schemas.events import InstanceStatusChanged, NodeStatusChanged
from schemas.evolution import AgentPhase, Folded, Observed, Step, evolve, evolve_phases, fold
from schemas.instances import Instance
from schemas.nodes import STARTS_FROM, Node
from schemas.specs import NodeSpec
from schemas.statuses import START_PATH, NodeStatus
from services.chassis.clock import Clock
from services.chassis.telemetry import Trace, logger, trace_headers, within
from services.health.leaving import leaving
from services.health.nodes import first_event, observe_node, overdue_at
from services.health.outbox import Event, Gone, Outgoing

log = logger("health.statuses")


class Tells(Protocol):
    """Who is told what changes here."""

    def outgoing(self, outgoing: Outgoing) -> None: ...

    def dirty(self) -> None: ...

    def contactable(self, fact: Instance, *, is_so: bool) -> None: ...

    def refused(self, instance: str, refusal: IllegalMove) -> None: ...


class PartitionStatuses:
    """What is observed of all instances and nodes of a partition; quick, and nothing is awaited."""

    def __init__(self, tells: Tells, clock: Clock) -> None:
        self._tells = tells
        self._clock = clock
        self._facts: dict[str, Instance] = {}
        self._nodes: dict[str, Node] = {}
        self._observed: dict[str, Observed] = {}
        self._of_place: dict[str, dict[str, InstanceStatusChanged]] = {}
        self._node_events: dict[str, NodeStatusChanged] = {}
        self._dirty: dict[str, Trace] = {}  # Places to look at again, in order, and why.
        self._timers: dict[str, asyncio.TimerHandle] = {}

    # What contacts ask.

    def observed(self, instance: str) -> Observed | None:
        return self._observed.get(instance)

    def spec(self, fact: Instance) -> NodeSpec | None:
        """Of the instance's own node; none if it is not known (yet, or any more)."""
        node = self._nodes.get(fact.place)
        return node.spec if node is not None and node.uid == fact.uid else None

    def node_event(self, place: str) -> NodeStatusChanged | None:
        return self._node_events.get(place)

    def keys(self) -> set[str]:
        """Of every status that the table must hold."""
        return {*self._node_events, *self._observed}

    def tell_again(self, key: str) -> None:
        """The present event of a key."""
        instance = (events[key] for events in self._of_place.values() if key in events)
        event = self._node_events.get(key) or next(instance, None)
        if event is not None:
            self._tells.outgoing(event)

    # What is told.

    def resume(self, published: Iterable[Event]) -> None:
        """Go on from what was published before: nothing changes until something is proven."""
        for event in published:
            if isinstance(event, NodeStatusChanged):
                self._node_events[event.key] = event
            else:
                self._observed[event.instance] = Observed.published(event)
                self._of_place.setdefault(event.place, {})[event.instance] = event

    def heard_node(self, place: str, node: Node | None) -> None:
        """A node's record, or its tombstone."""
        if node is None:
            self._nodes.pop(place, None)
        else:
            self._nodes[place] = node
            for instance in self._of_place.get(place, {}):
                if (fact := self._facts.get(instance)) is not None:
                    self._contact(fact)
        self._touch(place)

    def heard_instance(self, instance: str, fact: Instance | None) -> None:
        """An instance's record, or its tombstone: then its status is buried too."""
        if fact is None:
            self._gone(instance)
            return
        self._facts[instance] = fact
        self._settle(fact, evolve(self._observed.get(instance), fact))
        self._contact(fact)

    def take(self, fact: Instance, step: Step) -> None:
        """A step that probes or time have brought about."""
        if (observed := self._observed.get(fact.instance)) is not None:
            self._settle(fact, fold(observed, [step]))

    def take_phases(self, fact: Instance, history: Sequence[AgentPhase]) -> None:
        """What the agent says of itself, by its own clock, which may be any."""
        now = self._clock.now()
        told = [entry.dated_within(fact.wanted_at, now) for entry in history]
        if (observed := self._observed.get(fact.instance)) is not None:
            self._settle(fact, evolve_phases(observed, told))

    def bury_strangers(self, keys: Iterable[tuple[str, str]]) -> None:
        """Statuses (key, place) of what neither complete table knows any more."""
        strangers = [
            (key, place) for key, place in keys if key not in self._facts and key not in self._nodes
        ]
        for key, place in strangers:  # All of them first: so they go out together.
            log.info("stranger buried", key=key)
            self._tell_leaving(key, place)
        for key, place in strangers:
            self._tell_gone(key, place)
            self._touch(place)

    def recount(self) -> None:
        """Compute the statuses of the nodes that something has changed for."""
        dirty, self._dirty = self._dirty, {}
        for place, cause in dirty.items():
            with within(cause):
                self._recount(place)

    def close(self) -> None:
        """Know nothing more, so that nothing is begun again."""
        self._observed.clear()
        for timer in self._timers.values():
            timer.cancel()

    # How it is done.

    def _settle(self, fact: Instance, folded: Folded) -> None:
        for refusal in folded.refused:
            self._tells.refused(fact.instance, refusal)
        self._observed[fact.instance] = folded.observed
        for value in folded.entered:
            event = self._event(fact, value)
            self._of_place.setdefault(fact.place, {})[fact.instance] = event
            self._tells.outgoing(event)
            _log(fact.instance, value)
        if folded.entered:
            self._touch(fact.place)

    def _event(self, fact: Instance, observed: Observed) -> InstanceStatusChanged:
        return InstanceStatusChanged(
            id=self._clock.uuid(),
            at=self._clock.now(),
            project=fact.project,
            node=fact.node,
            uid=fact.uid,
            generation=fact.generation,
            instance=fact.instance,
            revision=fact.revision,
            status=observed.status,
            reason=observed.reason,
            sentence=observed.sentence,
            evidence=observed.evidence,
            since=observed.since,
            transitions=observed.transitions,
            endpoint=fact.endpoint,
            phase_seq=observed.phase_seq,
        )

    def _contact(self, fact: Instance) -> None:
        is_there = fact.created_at is not None and fact.endpoint is not None
        is_over = fact.exited is not None or fact.deleting is not None
        is_so = is_there and not is_over and self.spec(fact) is not None
        self._tells.contactable(fact, is_so=is_so)

    def _gone(self, instance: str) -> None:
        fact = self._facts.pop(instance, None)
        if fact is None:
            return
        self._tells.contactable(fact, is_so=False)
        self._bury(instance, fact.place)
        self._touch(fact.place)

    def _bury(self, key: str, place: str) -> None:
        """Whoever follows sees every status end in the same way: DELETING, then its tombstone."""
        self._tell_leaving(key, place)
        self._tell_gone(key, place)

    def _tell_leaving(self, key: str, place: str) -> None:
        last = self._node_events.get(key) or self._of_place.get(place, {}).get(key)
        event = leaving(last, self._clock.uuid(), self._clock.now()) if last else None
        if event is not None:
            self._tells.outgoing(event)

    def _tell_gone(self, key: str, place: str) -> None:
        self._forget(key, place)
        self._tells.outgoing(Gone(key, place))

    def _forget(self, key: str, place: str) -> None:
        self._observed.pop(key, None)
        events = self._of_place.get(place, {})
        events.pop(key, None)
        if not events:
            self._of_place.pop(place, None)
        self._node_events.pop(key, None)

    def _touch(self, place: str) -> None:
        self._dirty[place] = trace_headers() or self._dirty.get(place, {})
        self._tells.dirty()

    def _recount(self, place: str) -> None:
        node = self._nodes.get(place)
        events = self._of_place.get(place, {})
        if node is None:
            self._bury_node(place)
            return
        before = self._node_events.get(place)
        if before is not None and before.uid != node.uid:
            self._bury(place, place)  # Its name is used again, and its end was missed.
            before = None
        now = self._clock.now()
        event = observe_node(node, events, before, now)
        if event and before is None and event.status is not NodeStatus.CREATED:
            before = first_event(node, now)
            self._tell_node(before, None)
            event = observe_node(node, events, before, now)
        if event is not None:
            self._tell_node(event, before)
        self._watch_the_clock(node)

    def _tell_node(self, event: NodeStatusChanged, before: NodeStatusChanged | None) -> None:
        event = event.model_copy(update={"id": self._clock.uuid()})
        self._node_events[event.place] = event
        self._tells.outgoing(event)
        if before is None or before.status is not event.status:
            log.info("node status", node=event.place, status=event.status.value)

    def _bury_node(self, place: str) -> None:
        """After its instances: whoever follows sees nothing left of a node that is gone."""
        if place in self._node_events and not self._of_place.get(place):
            self._bury(place, place)
        self._cancel_timer(place)

    def _watch_the_clock(self, node: Node) -> None:
        """Look again at the moment at which a node that was made or resumed is overdue."""
        self._cancel_timer(node.place)
        event = self._node_events.get(node.place)
        if event is None or node.suspended or event.status not in STARTS_FROM:
            return
        left = (overdue_at(node) - self._clock.now()).total_seconds()
        if left > 0:
            look: Callable[[str], None] = self._touch
            loop = asyncio.get_running_loop()
            self._timers[node.place] = loop.call_later(left + 0.001, look, node.place)

    def _cancel_timer(self, place: str) -> None:
        if (timer := self._timers.pop(place, None)) is not None:
            timer.cancel()


def _log(instance: str, value: Observed) -> None:
    """What a person looks for, at level info; the way there only when asked for."""
    is_on_its_way = value.status in START_PATH[:-1]
    tell = log.debug if is_on_its_way else log.info
    tell("instance status", instance=instance, status=value.status.value, reason=value.reason.value)
