"""Facts on the bus that are not tables of wishes: outcomes, public statuses, signals, usage."""

from __future__ import annotations

from typing import ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from schemas.errors import RefusalReason
from schemas.ids import Digest, InstanceId
from schemas.messages import Event, TableRecord
from schemas.statuses import TRANSITIONS_MAX, InstanceStatus, NodeStatus, Reason, Transition
from schemas.topics import Topic


class CommandAccepted(TableRecord):
    """The command changed the node, or found it as wanted."""

    topic: ClassVar[Topic] = Topic.OUTCOMES

    kind: Literal["CommandAccepted"] = "CommandAccepted"
    command: UUID
    command_kind: str
    digest: Digest  # Of the command's body.
    generation: int = Field(ge=0)
    changed: bool
    sentence: str = ""  # What the sender should know beside that it was accepted.


class CommandRejected(TableRecord):
    """The command was refused; nothing changed."""

    topic: ClassVar[Topic] = Topic.OUTCOMES

    kind: Literal["CommandRejected"] = "CommandRejected"
    command: UUID
    command_kind: str = ""
    digest: Digest
    reason: RefusalReason
    sentence: str
    field: str | None = None
    remedy: str = ""


class StatusChanged(TableRecord):
    """A public status event: it answers "why?" by itself."""

    topic: ClassVar[Topic] = Topic.STATUSES

    uid: UUID
    generation: int = Field(ge=1)
    reason: Reason  # For programs.
    sentence: str  # For people.
    evidence: dict[str, str] = Field(default_factory=dict)  # Exit code, last lines, failed probe.
    since: AwareDatetime  # When the status was entered; `at` is when this was written.
    transitions: tuple[Transition, ...] = Field(default=(), max_length=TRANSITIONS_MAX)


class InstanceStatusChanged(StatusChanged):
    """The full observed state of one instance."""

    kind: Literal["InstanceStatusChanged"] = "InstanceStatusChanged"
    instance: InstanceId
    revision: Digest
    status: InstanceStatus
    endpoint: str | None = None  # The projection needs no other topic for it.
    phase_seq: int = Field(default=0, ge=0)  # The agent's last phase that this stands on.

    @property
    def key(self) -> str:
        return self.instance


class NodeStatusChanged(StatusChanged):
    """The full observed state of one node."""

    kind: Literal["NodeStatusChanged"] = "NodeStatusChanged"
    revision: Digest
    status: NodeStatus
    min: int
    want: int
    healthy: int = Field(ge=0)  # All healthy instances.
    healthy_of_revision: int = Field(ge=0)  # Those of the current revision.


class GatewaySignal(Event):
    """What one gateway saw of one node in the last interval."""

    topic: ClassVar[Topic] = Topic.SIGNALS

    kind: Literal["GatewaySignal"] = "GatewaySignal"
    gateway: str
    interval_seconds: float = Field(gt=0)
    requests: int = Field(ge=0)
    refusals: int = Field(ge=0)
    in_flight: int = Field(ge=0)
    waiting: int = Field(ge=0)
    failures: dict[InstanceId, int] = Field(default_factory=dict)


class InstanceUsage(Event):
    """Seconds for which one instance lived in one hour, as far as is known: a repeat never adds to
    it, and of two records the larger is right."""

    topic: ClassVar[Topic] = Topic.USAGE

    kind: Literal["InstanceUsage"] = "InstanceUsage"
    instance: InstanceId
    uid: UUID
    instance_type: str
    hour: AwareDatetime  # Its beginning, in UTC.
    seconds: float = Field(ge=0, le=3600)
    is_open: bool = False  # The hour and the instance go on: more will be said.

    @property
    def key(self) -> str:
        """What is open is thinned to the latest of its instance, and never stands in the place of
        what is closed."""
        return self.instance if self.is_open else f"{self.instance}@{self.hour.isoformat()}"
