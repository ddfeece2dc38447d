"""decide: what becomes of a node under a command. Pure; refusals are DomainErrors."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any, assert_never

from pydantic import ValidationError

from schemas.commands import (
    AnyCommand,
    DeleteAlias,
    DeleteNode,
    DeployNode,
    PutAlias,
    RecreateNode,
    ResetNode,
    ResumeNode,
    ScaleNode,
    SuspendNode,
    invalid_field,
)
from schemas.errors import (
    CommandIdReused,
    InvalidField,
    NameBusy,
    NotBuilt,
    StaleGeneration,
    UnknownNode,
)
from schemas.instance_types import INSTANCE_TYPES
from schemas.nodes import RECENT_COMMANDS_MAX, Node, RecentCommand
from schemas.specs import NodeSpec, revision_of

STAYS_SUSPENDED = "The node stays suspended: no instance starts before ResumeNode."


def decide(
    node: Node | None,
    command: AnyCommand,
    now: datetime,
    instance_types: Collection[str] = INSTANCE_TYPES,
) -> Node:
    """The node after the command; the same value if nothing changes.

    Raises a DomainError where the command is refused. `next_n`, terms and everything else that
    is not the spec stay as they are. `instance_types` are the names that a new spec may use.
    """
    if (known := _repeat(node, command)) is not None:
        return known
    _check_generation(node, command)
    match command:
        case DeployNode():
            return _deploy(node, command, now, instance_types)
        case ScaleNode():
            return _scale(_existing(node, command), command, now)
        case RecreateNode():
            living = _living(_existing(node, command))
            return _changed(living, command, now, recreations=living.recreations + 1)
        case DeleteNode():
            existing = _existing(node, command)
            return (
                existing if existing.deleting else _changed(existing, command, now, deleting=True)
            )
        case SuspendNode():
            return _suspended(_living(_existing(node, command)), command, now)
        case ResumeNode():
            return _resumed(_living(_existing(node, command)), command, now)
        case ResetNode() | PutAlias() | DeleteAlias():
            raise NotBuilt(f"{command.kind} is known but this version cannot do it", field="kind")
        case _:
            assert_never(command)


def remark(node: Node, command: AnyCommand) -> str:
    """What the sender of an accepted command should know beside that; mostly nothing."""
    starts_something = isinstance(command, DeployNode | ScaleNode | RecreateNode)
    return STAYS_SUSPENDED if node.suspended and starts_something else ""


def _repeat(node: Node | None, command: AnyCommand) -> Node | None:
    """The node itself, if it already knows this command."""
    for recent in node.recent_commands if node else ():
        if recent.id == command.id:
            if recent.digest != command.digest():
                raise CommandIdReused(
                    f"command {command.id} was used before with another body",
                    field="id",
                    remedy="send each new command with a new id",
                )
            return node
    return None


def _check_generation(node: Node | None, command: AnyCommand) -> None:
    present = node.generation if node else 0
    if command.if_generation is not None and command.if_generation != present:
        raise StaleGeneration(
            f"the node's generation is {present}, not {command.if_generation}",
            field="if_generation",
            remedy="read the node again and decide anew",
        )


def _existing(node: Node | None, command: AnyCommand) -> Node:
    if node is None:
        raise UnknownNode(
            f"there is no node {command.place}", field="node", remedy="deploy it first"
        )
    return node


def _living(node: Node) -> Node:
    if node.deleting:
        raise NameBusy(
            f"node {node.place} is being deleted",
            field="node",
            remedy="wait until it is gone, or use another name",
        )
    return node


def _deploy(
    node: Node | None, command: DeployNode, now: datetime, instance_types: Collection[str]
) -> Node:
    """Only the spec is applied: what its owner has suspended stays suspended."""
    _refuse_unbuilt(command.spec)
    if node is not None and _living(node).spec == command.spec:
        return node
    _check_type(command.spec, instance_types)
    if node is None:
        return _made(command, now)
    return _changed(node, command, now, spec=command.spec)


def _suspended(node: Node, command: SuspendNode, now: datetime) -> Node:
    return node if node.suspended else _changed(node, command, now, suspended=True)


def _resumed(node: Node, command: ResumeNode, now: datetime) -> Node:
    if not node.suspended:
        return node
    return _changed(node, command, now, suspended=False, resumed_at=now)


def _scale(node: Node, command: ScaleNode, now: datetime) -> Node:
    _living(node)
    at_least = min(node.spec.instances.min, command.want) if command.min is None else command.min
    wanted = node.spec.model_dump(by_alias=True)
    wanted["instances"] = {"min": at_least, "want": command.want}
    try:
        spec = NodeSpec.model_validate(wanted)
    except ValidationError as error:
        raise invalid_field(error) from None
    return node if spec == node.spec else _changed(node, command, now, spec=spec)


def _refuse_unbuilt(spec: NodeSpec) -> None:
    for field, is_built in (
        ("environment", spec.environment == "here"),
        ("state", spec.state == "shared"),
        ("secrets", not spec.secrets),
    ):
        if not is_built:
            raise NotBuilt(
                f"spec.{field}: this version cannot do {getattr(spec, field)!r}",
                field=f"spec.{field}",
                remedy="leave the field out",
            )


def _check_type(spec: NodeSpec, instance_types: Collection[str]) -> None:
    """A new spec names a type that the operator offers; an old one may have lost its own."""
    if spec.instance_type not in instance_types:
        raise InvalidField(
            f"spec.instance_type: there is no instance type {spec.instance_type!r}",
            field="spec.instance_type",
            remedy=f"use one of {', '.join(sorted(instance_types))}",
        )


def _made(command: DeployNode, now: datetime) -> Node:
    return Node(
        id=command.id,
        project=command.project,
        node=command.node,
        at=now,
        uid=command.id,
        generation=1,
        revision=revision_of(command.spec, 0),
        spec=command.spec,
        created_at=now,
        generation_at=now,
        actor=command.actor,
        recent_commands=(_recent(command, 1),),
    )


def _changed(node: Node, command: AnyCommand, now: datetime, **changes: Any) -> Node:
    """One generation further; a new spec or recreation also means a new revision.

    A new revision, and a node that is resumed, owe nothing to the failures of before.
    """
    generation = node.generation + 1
    recent = (*node.recent_commands, _recent(command, generation))[-RECENT_COMMANDS_MAX:]
    spec = changes.get("spec", node.spec)
    recreations = changes.get("recreations", node.recreations)
    revision = revision_of(spec, recreations)
    fresh_start = {"failures_in_a_row": 0, "create_not_before": None}
    is_fresh = revision != node.revision or "resumed_at" in changes
    return node.model_copy(
        update={
            **changes,
            **(fresh_start if is_fresh else {}),
            "id": command.id,
            "at": now,
            "generation": generation,
            "generation_at": now,
            "revision": revision,
            "actor": command.actor,
            "recent_commands": recent,
        }
    )


def _recent(command: AnyCommand, generation: int) -> RecentCommand:
    return RecentCommand(id=command.id, digest=command.digest(), generation=generation)
