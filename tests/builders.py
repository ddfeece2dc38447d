"""Values for tests: complete and valid, with the one thing that a test is about given by name."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

from schemas.commands import AnyCommand, DeployNode, parse_command
from schemas.decisions import decide
from schemas.instances import Instance
from schemas.nodes import Node
from schemas.specs import NodeSpec

NOON = datetime(2026, 5, 4, 12, 0, 0, tzinfo=timezone.utc)
UID = UUID("3fa9c1d2-0000-4000-8000-000000000001")
CHECKPOINT = "c" * 64


def an_id(number: int) -> UUID:
    """A command's id, the same for the same number."""
    return UUID(int=number)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def a_spec(**changes: Any) -> NodeSpec:
    given = {"checkpoint": CHECKPOINT, "cell": "y = x * 2", "inputs": ["x"], "outputs": ["y"]}
    return NodeSpec.model_validate(given | changes)


def a_deploy(name: str = "digits", *, number: int = 1, **spec: Any) -> DeployNode:
    return DeployNode(id=an_id(number), node=name, spec=a_spec(**spec))


def a_command(kind: str, *, number: int = 7, **fields: Any) -> AnyCommand:
    return parse_command({"kind": kind, "id": str(an_id(number)), "node": "digits", **fields})


def decided(node: Node | None, *commands: AnyCommand) -> Node:
    """The node after the commands, all at NOON."""
    for command in commands:
        node = decide(node, command, NOON)
    assert node is not None
    return node


def a_node(name: str = "digits", **spec: Any) -> Node:
    """A node of generation 1, made at NOON, whose uid is UID."""
    command = a_deploy(name, **spec).model_copy(update={"id": UID})
    return decide(None, command, NOON)


def an_instance(node: Node, n: int = 1, **changes: Any) -> Instance:
    """InstanceWanted of the node's current revision."""
    known = {
        "id": an_id(1000 + n),
        "node": node.node,
        "project": node.project,
        "at": NOON,
        "instance": node.instance_id(n),
        "uid": node.uid,
        "n": n,
        "generation": node.generation,
        "revision": node.revision,
        "wanted_at": NOON,
    }
    return Instance.model_validate(known | changes)
