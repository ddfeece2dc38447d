"""decide: what suspends a node, what wakes it, and what does not."""

from __future__ import annotations

import pytest

from schemas.commands import AnyCommand
from schemas.decisions import STAYS_SUSPENDED, decide, remark
from schemas.errors import NameBusy
from tests.builders import NOON, a_command, a_deploy, a_node, after, decided


def test_suspending_keeps_the_spec_and_wants_no_instances_until_it_is_resumed() -> None:
    node = a_node(instances={"want": 3})
    suspended = decided(node, a_command("SuspendNode"))
    resumed = decide(suspended, a_command("ResumeNode", number=8), after(60))

    assert (suspended.suspended, suspended.instances_wanted, suspended.generation) == (True, 0, 2)
    assert (resumed.suspended, resumed.instances_wanted, resumed.generation) == (False, 3, 3)
    assert resumed.spec == suspended.spec == node.spec
    assert resumed.revision == suspended.revision == node.revision
    assert (node.starting_at, resumed.starting_at) == (NOON, after(60))


def test_suspending_twice_and_resuming_what_runs_change_nothing() -> None:
    node = a_node()
    suspended = decided(node, a_command("SuspendNode"))

    assert decide(suspended, a_command("SuspendNode", number=8), after(1)) is suspended
    assert decide(node, a_command("ResumeNode", number=8), after(1)) is node


@pytest.mark.parametrize("kind", ["SuspendNode", "ResumeNode"])
def test_a_node_that_is_being_deleted_is_neither_suspended_nor_resumed(kind: str) -> None:
    with pytest.raises(NameBusy):
        decided(a_node(), a_command("DeleteNode"), a_command(kind, number=8))


def test_a_resumed_node_owes_nothing_to_the_failures_of_before() -> None:
    failed = {"failures_in_a_row": 7, "create_not_before": after(300)}
    suspended = decided(a_node().model_copy(update=failed), a_command("SuspendNode"))
    resumed = decided(suspended, a_command("ResumeNode", number=8))

    assert suspended.failures_in_a_row == 7
    assert (resumed.failures_in_a_row, resumed.create_not_before) == (0, None)


@pytest.mark.parametrize(
    ("command", "is_new_revision"),
    [
        (a_deploy(number=9, cell="y = 0"), True),
        (a_command("ScaleNode", number=9, want=5), False),
        (a_command("RecreateNode", number=9), True),
    ],
)
def test_what_changes_a_suspended_node_leaves_it_suspended_and_says_so(
    command: AnyCommand, is_new_revision: bool
) -> None:
    suspended = decided(a_node(), a_command("SuspendNode"))
    changed = decided(suspended, command)

    assert (changed.suspended, changed.instances_wanted, changed.generation) == (True, 0, 3)
    assert (changed.revision != suspended.revision) is is_new_revision
    assert remark(changed, command) == STAYS_SUSPENDED
    assert remark(decided(a_node(), command), command) == ""


def test_a_suspended_node_can_be_deleted() -> None:
    node = decided(a_node(), a_command("SuspendNode"), a_command("DeleteNode", number=8))

    assert (node.deleting, node.instances_wanted) == (True, 0)
    assert remark(node, a_command("DeleteNode", number=8)) == ""
