"""What is said about a command: accepted, or rejected with field and remedy. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, ValidationError

from schemas.commands import AnyCommand
from schemas.decisions import remark
from schemas.errors import CommandIdReused, DomainError, InvalidField
from schemas.events import CommandAccepted, CommandRejected
from schemas.ids import DEFAULT_PROJECT, NodeName, ProjectName, digest_of, floats_as_text
from schemas.nodes import Node

KIND_CHARACTERS_MAX = 64


class Address(BaseModel):
    """The least that a body must have to be answered: whose command it is, about which node."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    id: UUID
    project: ProjectName = DEFAULT_PROJECT
    node: NodeName


def address_of(body: Mapping[str, Any]) -> Address:
    """Raises InvalidField where nobody could be answered."""
    try:
        return Address.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = str(first["loc"][0])
        raise InvalidField(f"{field}: {first['msg']}", field=field) from None


def body_digest(body: Mapping[str, Any]) -> str:
    """Of a body that is no valid command, without who and when."""
    rest = {name: value for name, value in body.items() if name not in {"actor", "at"}}
    return digest_of(floats_as_text(rest))


def accepted(command: AnyCommand, node: Node, now: datetime) -> CommandAccepted:
    """The same however often the command comes: the node's record knows those that changed it."""
    made = next((one for one in node.recent_commands if one.id == command.id), None)
    return CommandAccepted(
        id=_outcome_id(command.id),
        at=now,
        project=command.project,
        node=command.node,
        command=command.id,
        command_kind=command.kind,
        digest=command.digest(),
        generation=node.generation if made is None else made.generation,
        changed=made is not None,
        sentence=remark(node, command),
    )


def rejected(
    address: Address | AnyCommand, kind: Any, digest: str, error: DomainError, *, now: datetime
) -> CommandRejected:
    is_reuse = isinstance(error, CommandIdReused)
    return CommandRejected(
        id=_outcome_id(address.id, digest if is_reuse else ""),
        at=now,
        project=address.project,
        node=address.node,
        command=address.id,
        command_kind=str(kind or "")[:KIND_CHARACTERS_MAX],
        digest=digest,
        reason=error.reason,
        sentence=error.sentence,
        field=error.field,
        remedy=error.remedy,
    )


def id_reused(command: UUID) -> CommandIdReused:
    return CommandIdReused(
        f"command {command} was used before with another body",
        field="id",
        remedy="send each new command with a new id",
    )


def _outcome_id(command: UUID, other_body: str = "") -> UUID:
    """Fixed by the command, so a repeated outcome is recognised."""
    return uuid5(command, f"outcome{other_body}")
