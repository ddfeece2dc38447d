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
from schemas.nodes import RECENT_COMMANDS_MAX
from tests.builders import NOON, a_command, a_deploy, a_node, a_spec, after, an_id, decided


def spec_of(**changes: Any) -> dict[str, Any]:
    return a_spec(**changes).model_dump(mode="json", by_alias=True)


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


def test_an_instance_type_that_the_operator_does_not_offer_is_refused_naming_the_offered() -> None:
    with pytest.raises(InvalidField) as refusal:
        decide(None, a_deploy(instance_type="huge"), NOON, {"tiny", "small"})

    assert refusal.value.field == "spec.instance_type"
    assert "'huge'" in refusal.value.sentence
    assert refusal.value.remedy == "use one of small, tiny"
    assert decide(None, a_deploy(instance_type="huge"), NOON, {"huge"}).generation == 1


def test_a_node_whose_type_is_offered_no_more_can_do_all_but_get_a_new_spec_of_that_type() -> None:
    node = decide(None, a_deploy(instance_type="huge"), NOON, {"huge"})
    left = {"small"}

    assert decide(node, a_deploy(number=2, instance_type="huge"), NOON, left) is node
    for number, kind in enumerate(("SuspendNode", "ResumeNode", "RecreateNode", "DeleteNode"), 3):
        node = decide(node, a_command(kind, number=number), NOON, left)
    assert node.generation == 5
    node = decide(None, a_deploy(instance_type="huge"), NOON, {"huge"})
    with pytest.raises(InvalidField):
        decide(node, a_deploy(number=8, instance_type="huge", cell="y = 0"), NOON, left)
    assert decide(node, a_deploy(number=9), NOON, left).spec.instance_type == "small"


CHANGING = ("DeployNode", "ScaleNode", "SuspendNode", "ResumeNode", "RecreateNode", "DeleteNode")


@given(st.lists(st.tuples(st.sampled_from(CHANGING), st.integers(1, 4)), max_size=30))
def test_whatever_is_commanded_the_node_is_as_the_last_accepted_commands_say(
    told: list[tuple[str, int]],
) -> None:
    """Against a model of three facts: is it suspended, is it going, how many are wanted."""
    node, is_suspended, is_going, want = a_node(), False, False, 1
    for number, (kind, value) in enumerate(told, 100):
        command = _to(kind, number, value)
        if is_going and kind != "DeleteNode":
            with pytest.raises(NameBusy):
                decide(node, command, NOON)
            continue
        before, node = node, decide(node, command, after(number))
        is_suspended = {"SuspendNode": True, "ResumeNode": False}.get(kind, is_suspended)
        is_going = is_going or kind == "DeleteNode"
        want = value if kind in {"DeployNode", "ScaleNode"} else want
        assert (node.suspended, node.deleting) == (is_suspended, is_going)
        assert node.instances_wanted == (0 if is_suspended or is_going else want)
        assert (node.generation - before.generation) == (node is not before)
        assert node.uid == before.uid


def _to(kind: str, number: int, value: int) -> AnyCommand:
    if kind == "DeployNode":
        return a_deploy(number=number, instances={"want": value})
    return a_command(kind, number=number, **({"want": value} if kind == "ScaleNode" else {}))


@pytest.mark.parametrize(
    "kind", ["ScaleNode", "RecreateNode", "SuspendNode", "ResumeNode", "DeleteNode"]
)
def test_a_command_to_an_unknown_node_is_refused(kind: str) -> None:
    fields = {"want": 2} if kind == "ScaleNode" else {}
    with pytest.raises(UnknownNode) as refusal:
        decide(None, a_command(kind, **fields), NOON)
    assert refusal.value.field == "node"


@pytest.mark.parametrize("kind", ["ResetNode", "DeleteAlias"])
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
        ({"instance_type": "Huge!"}, "spec.instance_type"),
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
