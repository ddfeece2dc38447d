"""Node: the accepted spec with its identity and counters, as it lies on the topic `nodes`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from schemas.ids import Digest, InstanceId, instance_id
from schemas.messages import TableRecord
from schemas.specs import NodeSpec
from schemas.statuses import InstanceStatus, NodeStatus
from schemas.topics import Topic

RECENT_COMMANDS_MAX = 16
STARTS_FROM = frozenset({NodeStatus.CREATED, NodeStatus.SUSPENDED})


class RecentCommand(BaseModel):
    """A command that changed the node, so that its repeat changes nothing."""

    model_config = ConfigDict(frozen=True, extra="allow")

    id: UUID
    digest: Digest  # Of the command's body.
    generation: int


class Node(TableRecord):
    """What is wanted: the full accepted spec, its identity and its counters."""

    topic: ClassVar[Topic] = Topic.NODES

    kind: Literal["Node"] = "Node"
    uid: UUID  # The id of the DeployNode that made it.
    generation: int = Field(ge=1)  # Counts the accepted changes of the spec.
    revision: Digest  # What an instance is made of.
    recreations: int = Field(default=0, ge=0)
    spec: NodeSpec
    deleting: bool = False
    suspended: bool = False
    next_n: int = Field(default=1, ge=1)  # The number of the next instance; never used again.
    failures_in_a_row: int = Field(default=0, ge=0)  # Instances lost since the last calm time.
    create_not_before: AwareDatetime | None = None  # Growing delay after failures.
    created_at: AwareDatetime
    generation_at: AwareDatetime  # When this generation was accepted.
    resumed_at: AwareDatetime | None = None  # When it was last started again after a suspension.
    actor: str = ""
    recent_commands: tuple[RecentCommand, ...] = ()

    def instance_id(self, n: int) -> InstanceId:
        return instance_id(self.node, self.uid, n)

    @property
    def starting_at(self) -> datetime:
        """Since when its first healthy instances are waited for."""
        return self.resumed_at or self.created_at

    @property
    def instances_wanted(self) -> int:
        return 0 if self.deleting or self.suspended else self.spec.instances.want


def node_status(
    node: Node, instances: Sequence[InstanceStatus], before: NodeStatus, overdue: bool
) -> NodeStatus:
    """What the instances of the node's current revision add up to. Pure.

    `instances` are the statuses that count (old revisions still serve and count as healthy).
    CREATED, and SUSPENDED of a node that is resumed, last until it is first healthy or first in
    trouble, or `overdue` to start.
    """
    if node.deleting or before is NodeStatus.DELETING:
        return NodeStatus.DELETING
    if node.suspended:
        return NodeStatus.SUSPENDED
    if list(instances).count(InstanceStatus.HEALTHY) >= node.spec.instances.min:
        return NodeStatus.HEALTHY
    in_trouble = overdue or InstanceStatus.UNHEALTHY in instances
    if before in STARTS_FROM and not in_trouble:
        return before
    return NodeStatus.UNHEALTHY
