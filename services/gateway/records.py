"""The parts of the projection's records that routing needs, checked before they are believed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.ids import InstanceId, NodeName, ProjectName, place_of
from schemas.statuses import InstanceStatus, NodeStatus
from services.gateway.endpoints import NodeFacts

SOCKET_PATH_BYTES_MAX = 107
_UNIX = re.compile(r"unix:(?://)?(/.+)")
_HTTP = re.compile(r"http://([a-zA-Z0-9.-]+|\[[0-9a-fA-F:]+\]):([0-9]{1,5})/?")


class _Part(BaseModel):
    """Of a record; whatever else it holds is left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    project: ProjectName
    node: NodeName


class _Spec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    deadline_seconds: float = Field(default=60.0, gt=0, le=3600)
    queue_max: int = Field(default=1000, ge=0, le=100_000)
    idempotent: bool = False
    errors: Literal["full", "brief"] = "full"


class _Node(_Part):
    kind: Literal["Node"]
    spec: _Spec
    deleting: bool = False
    suspended: bool = False


class _NodeStatus(_Part):
    kind: Literal["NodeStatusChanged"]
    status: NodeStatus


class _InstanceStatus(_Part):
    kind: Literal["InstanceStatusChanged"]
    instance: InstanceId
    status: InstanceStatus
    endpoint: str | None = None


@dataclass(frozen=True)
class InstanceFacts:
    """An instance as routing sees it; `url` is empty while it is not in balancing."""

    instance: str
    place: str
    url: str


def node_facts(key: str, value: bytes) -> NodeFacts:
    """Raises ValueError when the record is not one of this node."""
    node = _Node.model_validate_json(value)
    _same(key, place_of(node.project, node.node))
    spec = node.spec
    return NodeFacts(
        deadline_seconds=spec.deadline_seconds,
        queue_max=spec.queue_max,
        idempotent=spec.idempotent,
        errors=spec.errors,
        is_deleting=node.deleting,
        is_suspended=node.suspended,
    )


def node_status(key: str, value: bytes) -> NodeStatus:
    """Raises ValueError when the record is not one of this node."""
    status = _NodeStatus.model_validate_json(value)
    _same(key, place_of(status.project, status.node))
    return status.status


def instance_facts(key: str, value: bytes) -> InstanceFacts:
    """Raises ValueError when the record is not one of this instance, or nothing can reach it."""
    status = _InstanceStatus.model_validate_json(value)
    _same(key, status.instance)
    url = ""
    if status.status is InstanceStatus.HEALTHY:
        url = status.endpoint or ""
        _check_url(url)
    return InstanceFacts(status.instance, place_of(status.project, status.node), url)


def _same(key: str, own: str) -> None:
    if key != own:
        raise ValueError(f"the record of {own} lies under the key {key}")


def _check_url(url: str) -> None:
    if (unix := _UNIX.fullmatch(url)) is not None:
        if len(unix.group(1).encode()) > SOCKET_PATH_BYTES_MAX:
            raise ValueError(f"the socket path is over {SOCKET_PATH_BYTES_MAX} bytes: {url}")
    elif (http := _HTTP.fullmatch(url)) is None or not 0 < int(http.group(2)) < 65536:
        raise ValueError(f"{url!r} is neither unix:/path nor http://host:port")
