"""What is planned for a node, case by case."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.instances import Deletion, Instance, Refusal
from schemas.nodes import Node
from schemas.statuses import InstanceStatus, Reason
from services.provisioner.failures import START_FAULTS
from services.provisioner.plan import (
    BuryNode,
    CalmDown,
    Create,
    Delete,
    Remove,
    Replace,
    Wait,
    Want,
    plan,
)
from tests.builders import NOON, a_node, after, an_instance
from tests.services.provisioner.planning import (
    UNHEALTHY,
    deleted,
    exited,
    healthy,
    planned,
    running,
    status,
)


def a_group(want: int, **spec: Any) -> Node:
    return a_node(instances={"want": want}, **spec).model_copy(update={"next_n": 10})


def updated(node: Node) -> Node:
    """The node with another revision."""
    return node.model_copy(update={"revision": "e" * 64, "generation": 2})


def gone(node: Node) -> Node:
    return node.model_copy(update={"deleting": True})


def refused(node: Node, retry_seconds: float, n: int = 1) -> Instance:
    refusal = Refusal(
        reason=Reason.CHECKPOINT_MISSING, at=NOON, retry_at=after(retry_seconds), times=1
    )
    return an_instance(node, n, kind="InstanceRefused", refused=refusal)


def test_a_new_node_wants_all_its_instances_at_once() -> None:
    assert planned(a_node(instances={"want": 3}), []) == [Want(1), Want(2), Want(3)]


def test_a_number_is_never_below_one_that_exists() -> None:
    """The node's counter may have been lost with a crash; the instance's record was not."""
    node = a_node(instances={"want": 2})

    assert planned(node, [an_instance(node, 7)]) == [Create(node.instance_id(7)), Want(8)]


def test_an_instance_on_record_without_a_vm_is_created() -> None:
    node = a_group(1)

    assert planned(node, [an_instance(node)]) == [Create(node.instance_id(1))]


def test_a_running_group_needs_nothing() -> None:
    node = a_group(2)
    group = [running(node, 1), running(node, 2)]

    assert planned(node, group, healthy(*group)) == []


def test_a_refused_instance_is_tried_again_in_place_when_it_is_due() -> None:
    node = a_group(1)

    assert planned(node, [refused(node, 0)]) == [Create(node.instance_id(1))]
    assert plan(node, [refused(node, 4)], {}, NOON) == [Wait(after(4))]


def test_a_refused_instance_is_never_lost_whatever_health_says_of_it() -> None:
    node, long_ago = a_group(1), after(-1000)
    instance = an_instance(node)
    said = {instance.instance: status(instance, UNHEALTHY, Reason.START_TIMEOUT, long_ago)}

    assert planned(node, [instance], said) == [Create(instance.instance)]


def test_what_was_said_of_a_refusal_does_not_condemn_the_vm_that_was_made_after_all() -> None:
    node = a_group(1)
    instance = running(node, created_at=after(10))
    said = {instance.instance: status(instance, UNHEALTHY, Reason.CHECKPOINT_MISSING, after(5))}

    assert planned(node, [instance], said, after(11)) == []


def test_what_has_exited_is_replaced_at_once_the_first_time() -> None:
    node = a_group(1)

    assert planned(node, [exited(node)]) == [Replace(node.instance_id(1), 10, False)]


def test_all_of_a_group_that_exited_together_are_back_at_once() -> None:
    node = a_group(3)
    lost = [exited(node, n) for n in (1, 2, 3)]

    assert planned(node, lost) == [Replace(node.instance_id(n), 9 + n, False) for n in (1, 2, 3)]


def test_what_exits_again_waits_longer_and_stays_visible_until_then() -> None:
    node = a_group(1).model_copy(update={"failures_in_a_row": 1})
    (wait,) = plan(node, [exited(node)], {}, NOON)

    assert isinstance(wait, Wait)
    assert after(2) <= wait.until <= after(2.5)
    assert planned(node, [exited(node)], now=wait.until) == [
        Replace(node.instance_id(1), 10, False)
    ]


def test_who_served_for_long_is_replaced_as_if_for_the_first_time() -> None:
    node = a_group(1).model_copy(
        update={"failures_in_a_row": 9, "create_not_before": after(10_000)}
    )
    late = exited(node, at=after(30))
    early = exited(node, at=after(29))

    assert planned(node, [late], healthy(late), after(30)) == [
        Replace(late.instance, 10, False, is_in_a_row=False)
    ]
    assert planned(node, [early], healthy(early), after(30)) == []


@pytest.mark.parametrize("fault", sorted(START_FAULTS))
def test_what_cannot_start_is_replaced_later_not_at_once(fault: Reason) -> None:
    node = a_group(1)
    instance = running(node)
    said = {instance.instance: status(instance, UNHEALTHY, fault)}

    assert planned(node, [instance], said, after(0.9)) == []
    assert planned(node, [instance], said, after(1.3)) == [Replace(instance.instance, 10, False)]


@pytest.mark.parametrize(
    ("reason", "silent"), [(Reason.PROBES_FAILED, True), (Reason.INTERPRETER_CRASHED, False)]
)
def test_what_stays_unhealthy_too_long_is_replaced(reason: Reason, silent: bool) -> None:
    node = a_group(1, replace_after_seconds=10)
    instance = running(node)
    said = {instance.instance: status(instance, UNHEALTHY, reason)}

    assert plan(node, [instance], said, after(9)) == [Wait(after(10))]
    assert planned(node, [instance], said, after(10)) == [Replace(instance.instance, 10, silent)]


def test_a_lost_instance_whose_successor_is_on_record_leaves() -> None:
    """The crash came between the two records."""
    node = a_group(1)

    assert planned(node, [exited(node, 1), running(node, 2)]) == [
        Delete(node.instance_id(1), Reason.REPLACED)
    ]


def test_scaling_down_takes_the_unhealthy_and_then_the_newest() -> None:
    node = a_group(2)
    group = [running(node, n) for n in (1, 2, 3, 4)]
    said = healthy(group[1], group[2], group[3])

    assert deleted(planned(node, group, said)) == [group[3].instance, group[0].instance]


def test_an_update_makes_one_more_than_wanted_and_keeps_the_old_ones() -> None:
    old = a_group(2)
    group = [running(old, 1), running(old, 2)]

    assert planned(updated(old), group, healthy(*group)) == [Want(10)]


def test_an_old_one_leaves_for_each_new_one_that_is_healthy() -> None:
    old = a_group(2)
    node = updated(old)
    group = [running(old, 1), running(old, 2), running(node, 10)]
    node = node.model_copy(update={"next_n": 11})

    assert planned(node, group, healthy(*group[:2])) == []
    assert planned(node, group, healthy(*group)) == [Delete(group[1].instance, Reason.OUT_OF_DATE)]


def test_an_update_that_cannot_start_keeps_the_old_ones() -> None:
    old = a_group(2)
    node = updated(old)
    group = [running(old, 1), running(old, 2), running(node, 10)]
    said = {
        **healthy(*group[:2]),
        group[2].instance: status(group[2], UNHEALTHY, Reason.LOAD_FAILED),
    }

    assert planned(node, group, said, after(2)) == [Replace(group[2].instance, 11, False)]


def test_old_ones_without_a_vm_leave_at_once_but_not_those_that_may_just_have_become_healthy() -> (
    None
):
    """What health says arrives a little later than the command that follows on it."""
    old = a_group(2)
    group = [running(old, 1), an_instance(old, 2)]
    said = {group[0].instance: status(group[0], InstanceStatus.PREPARING)}

    assert planned(updated(old), group, said) == [
        Want(10),
        Want(11),
        Delete(group[1].instance, Reason.OUT_OF_DATE),
    ]


def test_old_ones_that_never_served_leave_when_enough_are_healthy() -> None:
    old = a_group(1)
    node = updated(old)
    group = [running(old, 1), running(node, 10)]

    assert planned(node, group, healthy(group[1])) == [
        Delete(group[0].instance, Reason.OUT_OF_DATE)
    ]


def test_old_ones_in_trouble_do_not_hold_an_update_up() -> None:
    old = a_group(2)
    group = [running(old, 1), running(old, 2)]
    said = {one.instance: status(one, UNHEALTHY, Reason.PROBES_FAILED) for one in group}

    assert planned(updated(old), group, said) == [Want(10), Want(11)]


def test_deleting_takes_every_instance_and_then_the_node() -> None:
    node = gone(a_group(2))
    group = [running(node, 1), an_instance(node, 2)]
    reason = Reason.DELETE_REQUESTED
    leaving = [one.model_copy(update={"deleting": Deletion(reason=reason, at=NOON)})
               for one in group]  # fmt: skip

    assert planned(node, group) == [Delete(one.instance, reason) for one in group]
    assert planned(node, leaving) == [Remove(one.instance) for one in leaving]
    assert planned(node, []) == [BuryNode()]


def test_suspending_takes_every_instance_and_keeps_the_node() -> None:
    node = a_group(2).model_copy(update={"suspended": True})
    instances = [running(node, 1), an_instance(node, 2)]

    assert planned(node, instances, healthy(instances[0])) == [
        Delete(one.instance, Reason.SUSPENDED_BY_OWNER) for one in instances
    ]
    assert planned(node, []) == []
    assert planned(node.model_copy(update={"deleting": True}), []) == [BuryNode()]


def test_a_resumed_node_starts_anew_while_its_former_instances_still_leave() -> None:
    node = a_group(1)
    leaving = running(node, deleting=Deletion(reason=Reason.SUSPENDED_BY_OWNER, at=NOON))

    assert planned(node.model_copy(update={"suspended": True}), [leaving]) == [
        Remove(leaving.instance)
    ]
    assert planned(node, [leaving]) == [Want(10), Remove(leaving.instance)]


def test_an_instance_that_leaves_counts_no_more() -> None:
    node = a_group(1)
    leaving = running(node, deleting=Deletion(reason=Reason.REPLACED, at=NOON))

    assert planned(node, [leaving]) == [Want(10), Remove(leaving.instance)]


def test_failures_are_forgotten_after_a_calm_while_only() -> None:
    node = a_group(1).model_copy(update={"failures_in_a_row": 4})
    instance = running(node)
    said = healthy(instance)

    assert plan(node, [instance], said, after(29)) == [Wait(after(30))]
    assert planned(node, [instance], said, after(30)) == [CalmDown()]
    in_trouble = {instance.instance: status(instance, UNHEALTHY, Reason.INTERPRETER_CRASHED)}
    assert planned(node, [instance], in_trouble, after(5)) == []
