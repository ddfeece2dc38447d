"""decide: what becomes of a node under each command, refusals as carefully as changes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.commands import AnyCommand, parse_command
from schemas.decisions import decide
from schemas.errors import (
    CommandIdReused,
    DomainError,
    InvalidField,
    NameBusy,
    NotBuilt,
    StaleGeneration,
    UnknownNode,
)
from schemas.nodes import RECENT_COMMANDS_MAX, Node
from tests.builders import NOON, a_deploy, a_node, a_spec, after, an_id


def a_command(kind: str, *, number: int = 7, **fields: Any) -> AnyCommand:
    return parse_command({"kind": kind, "id": str(an_id(number)), "node": "digits", **fields})


def spec_of(**changes: Any) -> dict[str, Any]:
    return a_spec(**changes).model_dump(mode="json", by_alias=True)


def decided(node: Node | None, *commands: AnyCommand) -> Node:
    for command in commands:
        node = decide(node, command, NOON)
    assert node is not None
    return node


def test_deploying_an_absent_node_makes_it_with_the_commands_id_as_uid() -> None:
    node = decided(None, a_deploy(number=5))

    assert (node.uid, node.generation, node.next_n) == (an_id(5), 1, 1)


def test_deploying_the_same_spec_again_changes_nothing() -> None:
    node = decided(None, a_deploy(number=5))

    assert decide(node, a_deploy(number=6), after(9)) is node


def test_deploying_another_cell_is_a_new_generation_and_a_new_revision() -> None:
    before = decided(None, a_deploy(number=5))
    now = decided(before, a_deploy(number=6, cell="y = x * 3"))

    assert now.generation == 2
    assert now.revision != before.revision
    assert now.uid == before.uid


def test_scaling_is_a_new_generation_of_the_same_revision() -> None:
    before = a_node(instances={"min": 2, "want": 2})
    now = decided(before, a_command("ScaleNode", want=5))

    assert (now.generation, now.spec.instances.want, now.spec.instances.min) == (2, 5, 2)
    assert now.revision == before.revision


def test_scaling_below_the_minimum_lowers_the_minimum_unless_it_was_named() -> None:
    node = a_node(instances={"min": 3, "want": 3})

    assert decided(node, a_command("ScaleNode", want=1)).spec.instances.min == 1
    with pytest.raises(InvalidField) as refusal:
        decided(node, a_command("ScaleNode", want=1, min=2))
    assert refusal.value.field == "instances"


def test_recreating_is_a_new_revision_of_the_same_spec() -> None:
    before = a_node()
    now = decided(before, a_command("RecreateNode"))

    assert now.spec == before.spec
    assert now.revision != before.revision


def test_the_same_command_twice_makes_one_generation() -> None:
    node = a_node()
    once = decided(node, a_command("ScaleNode", want=4))

    assert decide(once, a_command("ScaleNode", want=4), after(1)) is once


def test_the_same_id_with_another_body_is_refused() -> None:
    node = decided(a_node(), a_command("ScaleNode", want=4))

    with pytest.raises(CommandIdReused):
        decide(node, a_command("ScaleNode", want=5), NOON)


def test_a_deleted_name_is_busy_until_it_is_gone() -> None:
    node = decided(a_node(), a_command("DeleteNode"))

    assert node.deleting
    assert node.instances_wanted == 0
    assert decide(node, a_command("DeleteNode", number=8), NOON) is node
    for command in (a_deploy(number=9), a_command("ScaleNode", number=10, want=2)):
        with pytest.raises(NameBusy):
            decide(node, command, NOON)


@pytest.mark.parametrize("kind", ["ScaleNode", "RecreateNode", "DeleteNode"])
def test_a_command_to_an_unknown_node_is_refused(kind: str) -> None:
    fields = {"want": 2} if kind == "ScaleNode" else {}
    with pytest.raises(UnknownNode) as refusal:
        decide(None, a_command(kind, **fields), NOON)
    assert refusal.value.field == "node"


@pytest.mark.parametrize("kind", ["SuspendNode", "ResumeNode", "ResetNode", "DeleteAlias"])
def test_what_is_known_but_not_built_is_refused_with_that_reason(kind: str) -> None:
    with pytest.raises(NotBuilt):
        decide(a_node(), a_command(kind), NOON)


@pytest.mark.parametrize(
    "unbuilt",
    [
        {"environment": "standard"},
        {"environment": {"requirements": ["six"]}},
        {"state": "fresh"},
        {"secrets": ["TOKEN"]},
    ],
)
def test_a_spec_that_wants_what_is_not_built_is_refused_by_field(unbuilt: dict[str, Any]) -> None:
    with pytest.raises(NotBuilt) as refusal:
        decide(None, a_deploy(**unbuilt), NOON)
    assert refusal.value.field == f"spec.{next(iter(unbuilt))}"


def test_an_expected_generation_that_is_stale_is_refused() -> None:
    with pytest.raises(StaleGeneration):
        decide(a_node(), a_command("ScaleNode", want=2, if_generation=4), NOON)
    with pytest.raises(StaleGeneration):
        decide(a_node(), a_command("DeployNode", spec=spec_of(), if_generation=0), NOON)
    assert decided(a_node(), a_command("ScaleNode", want=2, if_generation=1)).generation == 2


@given(st.lists(st.integers(1, 9), max_size=40))
def test_recent_commands_are_bounded_and_the_generation_counts_changes(wants: list[int]) -> None:
    node, changes = a_node(), 0
    for number, want in enumerate(wants):
        now = decide(node, a_command("ScaleNode", number=100 + number, want=want), NOON)
        changes += now is not node
        node = now
    assert node.generation == 1 + changes
    assert len(node.recent_commands) <= RECENT_COMMANDS_MAX


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "DeployNode", "node": "digits", "spec": spec_of()}, "id"),
        ({"kind": "Deploy"}, "kind"),
        ({}, "kind"),
        ({"kind": "DeployNode", "id": str(an_id(1)), "node": "Digits", "spec": {}}, "node"),
        ({"kind": "DeleteNode", "id": str(an_id(1)), "node": "d", "force": True}, "force"),
        ({"kind": "ScaleNode", "id": str(an_id(1)), "node": "d", "want": 0}, "want"),
        ({"kind": "ScaleNode", "id": "1", "node": "d", "want": 1}, "id"),
        (
            {"kind": "DeployNode", "id": str(an_id(1)), "node": "d", "spec": {"cell": "y"}},
            "spec.checkpoint",
        ),
    ],
)
def test_an_invalid_command_names_the_field_and_a_remedy(body: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidField) as refusal:
        parse_command(body)
    assert refusal.value.field == field
    assert field in refusal.value.remedy
    assert isinstance(refusal.value, DomainError)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"checkpoint": "abc"}, "spec.checkpoint"),
        ({"instances": {"min": 3, "want": 1}}, "spec.instances"),
        ({"instance_type": "huge"}, "spec.instance_type"),
        ({"inputs": ["x", "x"]}, "spec.inputs"),
        ({"inputs": ["not a name"]}, "spec.inputs.0.name"),
        ({"probe": {"fails": 0}}, "spec.probe.fails"),
        ({"deadline_seconds": 0}, "spec.deadline_seconds"),
        ({"cell": ""}, "spec.cell"),
        ({"colour": "red"}, "spec.colour"),
    ],
)
def test_an_invalid_spec_names_the_field(wrong: dict[str, Any], field: str) -> None:
    given = {"checkpoint": "c" * 64, "cell": "y = 1"} | wrong
    with pytest.raises(InvalidField) as refusal:
        parse_command({"kind": "DeployNode", "id": str(an_id(1)), "node": "d", "spec": given})
    assert refusal.value.field == field
