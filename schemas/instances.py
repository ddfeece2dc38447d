"""Facts about one instance, as they lie on the topic `instances`: each carries the full state."""

from __future__ import annotations

from typing import Any, ClassVar, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from schemas.ids import Digest, InstanceId
from schemas.messages import TableRecord
from schemas.statuses import Reason
from schemas.topics import Topic

FactKind = Literal[
    "InstanceWanted", "InstanceCreated", "InstanceRefused", "InstanceExited", "InstanceDeleting"
]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow")


class Handle(_Part):
    """How a provider finds the VM again, and who may touch it."""

    provider: Literal["local", "docker", "kubernetes"]
    installation: str
    host: str
    boot: str  # The host's boot id: after a reboot the process is gone for sure.
    directory: str = ""
    pid: int = 0
    start_time: int = 0  # Of the process, in clock ticks since boot: a reused pid has another.


class Refusal(_Part):
    """Why the provider did not make the VM, and when it is asked again."""

    reason: Reason
    difference: tuple[str, ...] = ()  # Exactly what does not fit, a line each.
    at: AwareDatetime
    retry_at: AwareDatetime
    times: int = Field(ge=1)


class Exit(_Part):
    """How the VM ended."""

    code: int | None = None
    signal: int | None = None
    at: AwareDatetime
    last_lines: tuple[str, ...] = ()


class Deletion(_Part):
    """Why the instance is being removed."""

    reason: Reason
    at: AwareDatetime


class Instance(TableRecord):
    """Everything the provisioner knows of one instance; `kind` names the latest fact."""

    topic: ClassVar[Topic] = Topic.INSTANCES

    kind: FactKind = "InstanceWanted"
    instance: InstanceId
    uid: UUID
    n: int = Field(ge=1)
    generation: int = Field(ge=1)  # Of the node when this instance was wanted.
    revision: Digest
    instance_type: str | None = None  # What it is metered as; older records do not say it.
    wanted_at: AwareDatetime
    endpoint: str | None = None  # `unix:/path` or `http://host:port`.
    handle: Handle | None = None
    created_at: AwareDatetime | None = None  # Of the VM: from then on it is metered.
    refused: Refusal | None = None
    exited: Exit | None = None
    deleting: Deletion | None = None
    metered_until: AwareDatetime | None = None  # Every hour before it is on `usage`.

    @property
    def key(self) -> str:
        return self.instance

    def with_fact(self, kind: FactKind, at: Any, **changes: Any) -> Instance:
        """The instance after one more fact; validated, unlike a bare copy."""
        known = self.model_dump(exclude={"kind", "at"})
        return Instance.model_validate({**known, **changes, "kind": kind, "at": at})
