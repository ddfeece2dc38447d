"""The local copy of the projection: routed at once, kept while the projection is silent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from schemas.projection import Change, ProjectedTable
from schemas.statuses import NodeStatus
from services.chassis.telemetry import logger
from services.gateway.endpoints import Endpoint, NodeFacts, RoutedNode
from services.gateway.measures import Measures
from services.gateway.records import InstanceFacts, instance_facts, node_facts, node_status

log = logger("gateway.local_copy")

_T = TypeVar("_T")
Tables = dict[ProjectedTable, dict[str, bytes]]


@dataclass
class Partition:
    """One partition as it was last read."""

    nodes: dict[str, NodeFacts] = field(default_factory=dict)
    statuses: dict[str, NodeStatus] = field(default_factory=dict)
    instances: dict[str, InstanceFacts] = field(default_factory=dict)


class LocalCopy:
    """Folds the projection's records into nodes that calls can be routed to."""

    def __init__(
        self,
        partitions: int,
        *,
        measures: Measures,
        endpoint: Callable[[str, str], Endpoint],
        changed: Callable[[RoutedNode], None],
        wall_ms: Callable[[], float],
    ) -> None:
        self.nodes: dict[str, RoutedNode] = {}
        self.partitions_wanted = partitions
        self._partitions: dict[int, Partition] = {}
        self._instances_of: dict[str, dict[str, str]] = {}  # place -> instance -> url
        self._measures = measures
        self._endpoint = endpoint
        self._changed = changed
        self._wall_ms = wall_ms
        self._written_at_ms: dict[int, float] = {}
        self._began_at_ms = wall_ms()
        self.trouble = ""  # Why it cannot be renewed now; empty while it can.

    # What is known.

    @property
    def partitions_seen(self) -> int:
        return len(self._partitions)

    @property
    def is_complete(self) -> bool:
        """Every partition was read once; before that, unknown does not mean absent."""
        return self.partitions_seen >= self.partitions_wanted

    def age_seconds(self) -> float:
        """How old the oldest partition is; one that was never seen is as old as this copy."""
        known = self._written_at_ms.values()
        oldest = min(known) if self.is_complete else min([self._began_at_ms, *known])
        return max(0.0, (self._wall_ms() - oldest) / 1000)

    def told(self) -> dict[str, object]:
        """For operators: what calls are routed by, and how old it is."""
        return {
            "age_seconds": round(self.age_seconds(), 3),
            "partitions_seen": self.partitions_seen,
            "partitions_wanted": self.partitions_wanted,
            "trouble": self.trouble,
        }

    def confirmed(self, partition: int, at_ms: float) -> None:
        """The projection said at this time that the partition is as we know it."""
        self._written_at_ms[partition] = at_ms

    def sweep(self) -> None:
        for node in self.nodes.values():
            for endpoint in node.endpoints:
                endpoint.pool.sweep()

    # What changes it.

    def replace(self, partition: int, tables: Tables, at_ms: float) -> None:
        """Take a whole partition; a corrupt value leaves what was known of its key."""
        before = self._partitions.get(partition, Partition())
        after = Partition()
        for table, values in tables.items():
            for key, value in values.items():
                self._fold(after, before, Change(table, key, value))
        self._partitions[partition] = after
        self.confirmed(partition, at_ms)
        self._index(before.instances.values(), after.instances.values())
        for place in _places(before) | _places(after):
            self._route(after, place)

    def apply(self, partition: int, change: Change) -> None:
        """Take one change of the feed."""
        known = self._partitions[partition]
        before = known.instances.get(change.key)
        places = {before.place} if before is not None else set[str]()
        self._fold(known, known, change)
        if change.table is ProjectedTable.INSTANCE_STATUSES:
            after = known.instances.get(change.key)
            places |= {after.place} if after is not None else set()
            self._index((before,) if before else (), (after,) if after else ())
        else:
            places = {change.key}
        for place in places:
            self._route(known, place)

    def _fold(self, into: Partition, last_good: Partition, change: Change) -> None:
        try:
            _put(into, change)
        except ValueError as error:
            self._measures.values_refused += 1
            log.warning(
                "value refused", table=change.table.value, key=change.key, error=str(error)[:500]
            )
            _keep(into, last_good, change)

    def _index(self, before: Iterable[InstanceFacts], after: Iterable[InstanceFacts]) -> None:
        for one in before:
            self._instances_of.get(one.place, {}).pop(one.instance, None)
        for one in after:
            if one.url:
                self._instances_of.setdefault(one.place, {})[one.instance] = one.url
        for one in before:
            if not self._instances_of.get(one.place, True):
                del self._instances_of[one.place]

    def _route(self, partition: Partition, place: str) -> None:
        facts = partition.nodes.get(place)
        node = self.nodes.get(place)
        if facts is None:
            if node is not None:
                del self.nodes[place]
                self._update(node, node.facts, {})
            return
        if partition.statuses.get(place) is NodeStatus.DELETING and not facts.is_deleting:
            facts = NodeFacts(**{**vars(facts), "is_deleting": True})
        if node is None:
            node = self.nodes[place] = RoutedNode(place, facts)
        is_served = not (facts.is_deleting or facts.is_suspended)
        urls = self._instances_of.get(place, {}) if is_served else {}
        self._update(node, facts, urls)

    def _update(self, node: RoutedNode, facts: NodeFacts, urls: dict[str, str]) -> None:
        known = {(one.instance, one.url): one for one in node.endpoints}
        kept = [
            known.pop(pair) if pair in known else self._endpoint(*pair)
            for pair in sorted(urls.items())
        ]
        node.update(facts, tuple(kept))
        for endpoint in known.values():
            endpoint.pool.retire()
        self._changed(node)


def _put(into: Partition, change: Change) -> None:
    """Raises ValueError when the value is not what its table and key say."""
    key, value = change.key, change.value
    match change.table:
        case ProjectedTable.NODES:
            _set(into.nodes, key, node_facts(key, value) if value else None)
        case ProjectedTable.NODE_STATUSES:
            _set(into.statuses, key, node_status(key, value) if value else None)
        case ProjectedTable.INSTANCE_STATUSES:
            _set(into.instances, key, instance_facts(key, value) if value else None)
        case ProjectedTable.ALIASES:
            return


def _set(table: dict[str, _T], key: str, value: _T | None) -> None:
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value


def _keep(into: Partition, last_good: Partition, change: Change) -> None:
    match change.table:
        case ProjectedTable.NODES:
            _set(into.nodes, change.key, last_good.nodes.get(change.key))
        case ProjectedTable.NODE_STATUSES:
            _set(into.statuses, change.key, last_good.statuses.get(change.key))
        case ProjectedTable.INSTANCE_STATUSES:
            _set(into.instances, change.key, last_good.instances.get(change.key))
        case ProjectedTable.ALIASES:
            return


def _places(partition: Partition) -> set[str]:
    return {*partition.nodes, *(one.place for one in partition.instances.values())}
