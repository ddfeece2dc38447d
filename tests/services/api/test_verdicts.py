"""What is waited for is judged by the node that was meant, and told in the outcome's own words."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.events import CommandAccepted
from schemas.nodes import Node
from schemas.statuses import InstanceStatus, NodeStatus, Reason
from schemas.views import InstanceView, NodeStatusView, NodeView
from services.api.command_views import outcome_view
from services.api.problems import ApiProblem
from services.api.records import node_record
from services.api.verdicts import Goal, is_there, uid_made_by
from tests.builders import NOON, UID, a_node, after


def a_status(status: NodeStatus, since_seconds: float, **changes: Any) -> NodeStatusView:
    known = {"reason": Reason.DEPLOYED, "sentence": "It is so.", "since": after(since_seconds)}
    counts = {"generation": 3, "min": 1, "want": 1, "healthy": 0, "healthy_of_revision": 0}
    return NodeStatusView.model_validate({"status": status, **known, **counts, **changes})


def seen(node: Node, status: NodeStatusView) -> NodeView:
    """As a reader of the projection sees it."""
    raw = status.model_dump_json().encode()
    return node_record(node.place, node.model_dump_json().encode(), raw).view({})


def an_acceptance(**changes: Any) -> CommandAccepted:
    known = {"id": UID, "at": NOON, "node": "digits", "command": UID, "digest": "d" * 64}
    said = {"command_kind": "DeployNode", "generation": 1, "changed": True}
    return CommandAccepted.model_validate({**known, **said, **changes})


@pytest.mark.parametrize("left_as", [NodeStatus.DELETING, NodeStatus.SUSPENDED])
def test_what_a_former_node_of_the_name_left_as_is_not_the_new_ones(left_as: NodeStatus) -> None:
    left = a_status(left_as, -1, reason=Reason.SUSPENDED_BY_OWNER)
    view = seen(a_node(), left)
    assert view.status is None
    assert not is_there(view, Goal.HEALTHY, 1)
    assert not is_there(view, Goal.SUSPENDED, 1)


def test_a_node_that_is_leaving_itself_is_told_so() -> None:
    with pytest.raises(ApiProblem) as caught:
        is_there(seen(a_node(), a_status(NodeStatus.DELETING, 1)), Goal.HEALTHY, 1)
    assert caught.value.code == "node-deleting"


def test_a_node_is_named_by_the_deploy_that_made_it_and_by_nothing_else() -> None:
    assert uid_made_by(an_acceptance()) == UID
    for other in ({"generation": 2}, {"changed": False}, {"command_kind": "ScaleNode"}):
        assert uid_made_by(an_acceptance(**other)) is None


def test_an_instance_type_that_is_gone_is_not_waited_for() -> None:
    node = a_node()
    instance = InstanceView(
        instance=node.instance_id(1),
        revision=node.revision,
        status=InstanceStatus.UNHEALTHY,
        reason=Reason.INSTANCE_TYPE_UNKNOWN,
        sentence="There is no type tiny.",
        since=after(1),
    )
    view = seen(node, a_status(NodeStatus.UNHEALTHY, 1))
    with pytest.raises(ApiProblem, match="no type tiny"):
        is_there(view.model_copy(update={"instances": (instance,)}), Goal.HEALTHY, 1)


def test_what_the_sender_should_know_is_said() -> None:
    assert outcome_view(an_acceptance(sentence="It stays suspended.")).sentence == (
        "It stays suspended."
    )


@pytest.mark.parametrize(
    ("healthy", "of_revision", "there"), [(1, 1, True), (2, 2, True), (2, 1, False), (1, 0, False)]
)
def test_a_change_is_there_when_nothing_older_answers(
    healthy: int, of_revision: int, there: bool
) -> None:
    counts = {"healthy": healthy, "healthy_of_revision": of_revision}
    view = seen(a_node(), a_status(NodeStatus.HEALTHY, 1, **counts))

    assert is_there(view, Goal.HEALTHY, 1) is there
