"""A node as the projection holds it: record, status and instances, and the view made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from schemas.errors import StoreUnavailable
from schemas.events import InstanceStatusChanged
from schemas.ids import UID_CHARACTERS, instance_id
from schemas.instance_types import InstanceType
from schemas.nodes import Node
from schemas.statuses import NodeStatus
from schemas.views import Cost, InstanceView, NodeStatusView, NodeView
from services.chassis.telemetry import logger

log = logger("api.records")

LAST_STATUSES = frozenset({NodeStatus.DELETING, NodeStatus.SUSPENDED})


V = TypeVar("V", bound=BaseModel)


@dataclass
class NodeRecords:
    """What the projection holds of one node."""

    node: Node
    status: NodeStatusView | None = None
    values: dict[str, bytes] = field(default_factory=dict)  # Of instances, by id.

    @property
    def place(self) -> str:
        return self.node.place

    def instances(self) -> list[InstanceStatusChanged]:
        """With endpoints, in the order in which they were made."""
        keys = sorted(self.values, key=_number)
        known = (_parsed(InstanceStatusChanged, key, self.values[key]) for key in keys)
        return [one for one in known if one is not None]

    def view(self, types: Mapping[str, InstanceType]) -> NodeView:
        node = self.node
        keys = sorted(self.values, key=_number)
        views = (_parsed(InstanceView, key, self.values[key]) for key in keys)
        return NodeView(
            project=node.project,
            node=node.node,
            uid=node.uid,
            generation=node.generation,
            revision=node.revision,
            created_at=node.created_at,
            generation_at=node.generation_at,
            actor=node.actor,
            spec=node.spec,
            status=self.status,
            instances=tuple(one for one in views if one is not None),
            cost=_cost(node, types),
            execute_path=f"/v1/nodes/{node.node}:execute",
        )


def node_record(place: str, value: bytes, status: bytes | None) -> NodeRecords:
    """Raises StoreUnavailable where the record is not one of this node."""
    node = _parsed(Node, place, value)
    if node is None or node.place != place:
        raise StoreUnavailable(f"the projection's record of {place} cannot be read")
    seen = None if status is None else _parsed(NodeStatusView, place, status)
    return NodeRecords(node, None if seen is None or _is_of_former(seen, node) else seen)


def _is_of_former(status: NodeStatusView, node: Node) -> bool:
    """Left by a node that had this name before: it shows until the new one is first looked at.

    Only the statuses that a node may leave with are judged, as clocks of two machines differ.
    """
    return status.status in LAST_STATUSES and status.since < node.created_at


def instance_keys(node: Node) -> list[str]:
    """Of all instances that it can have: numbers are never used again."""
    return [instance_id(node.node, node.uid, n) for n in range(1, node.next_n)]


def prefix_of(node: Node) -> str:
    """What the ids of its instances begin with."""
    return f"{node.node}-{node.uid.hex[:UID_CHARACTERS]}"


def prefix_of_key(key: str) -> str:
    return key.rpartition("-")[0]


def _number(key: str) -> int:
    number = key.rpartition("-")[2]
    return int(number) if number.isascii() and number.isdigit() else 0


def _cost(node: Node, types: Mapping[str, InstanceType]) -> Cost:
    known = types.get(node.spec.instance_type)
    each = 0.0 if known is None else known.units_per_hour
    return Cost(
        instance_type=node.spec.instance_type,
        units_per_hour_each=each,
        units_per_hour=each * node.instances_wanted,
    )


def _parsed(model: type[V], key: str, value: bytes) -> V | None:
    try:
        return model.model_validate_json(value)
    except ValidationError as error:
        log.error("record unreadable", key=key, kind=model.__name__, error=str(error)[:500])
        return None
