"""What instances add up to: exactly at the minimum, in order, and saying who is in trouble."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import InstanceStatusChanged, NodeStatusChanged
from schemas.evolution import Observed
from schemas.nodes import Node
from schemas.statuses import NODE_MOVES, SENTENCES, InstanceStatus, NodeStatus, Reason
from services.chassis.clock import Clock
from services.health.nodes import NAMED_MAX, observe_node, overdue_at
from services.health.statuses import PartitionStatuses
from tests.builders import NOON, a_node, after, an_id

S, N = InstanceStatus, NodeStatus


def an_event(
    node: Node, n: int, status: InstanceStatus, reason: Reason = Reason.READY, **changes: Any
) -> InstanceStatusChanged:
    value = Observed(status, reason, f"sentence of {n}", NOON)
    given = {
        "id": an_id(n), "node": node.node, "uid": node.uid, "generation": node.generation,
        "at": NOON, "reason": reason, "sentence": value.sentence, "since": NOON,
        "instance": node.instance_id(n), "revision": node.revision, "status": status,
    }  # fmt: skip
    return InstanceStatusChanged.model_validate(given | changes)


def events(node: Node, *statuses: InstanceStatus) -> dict[str, InstanceStatusChanged]:
    made = [an_event(node, n + 1, status) for n, status in enumerate(statuses)]
    return {event.instance: event for event in made}


class Told:
    """Keeps what goes out."""

    def __init__(self, outgoing: list[object]) -> None:
        self.outgoing = outgoing.append

    def dirty(self) -> None: ...

    def contactable(self, fact: object, *, is_so: bool) -> None: ...

    def refused(self, instance: str, refusal: object) -> None: ...


def observed(
    node: Node,
    *statuses: InstanceStatus,
    before: NodeStatusChanged | None = None,
    seconds: float = 1,
) -> NodeStatusChanged:
    event = observe_node(node, events(node, *statuses), before, after(seconds))
    if event is None:
        assert before is not None
        return before
    return event


def test_a_new_node_is_created_at_once() -> None:
    event = observed(a_node())

    assert (event.status, event.reason) == (N.CREATED, Reason.DEPLOYED)
    assert [step.status for step in event.transitions] == ["CREATED"]


@pytest.mark.parametrize(("least", "healthy"), list(product(range(1, 5), range(5))))
def test_a_node_is_healthy_exactly_at_its_minimum(least: int, healthy: int) -> None:
    node = a_node(instances={"min": least, "want": 4})
    event = observed(node, *[S.HEALTHY] * healthy, *[S.UNHEALTHY] * (4 - healthy))

    assert (event.status is N.HEALTHY) is (healthy >= least)
    assert (event.healthy, event.healthy_of_revision, event.min, event.want) == (
        healthy, healthy, least, 4,
    )  # fmt: skip


def test_one_too_few_is_unhealthy_and_says_which_and_why() -> None:
    node = a_node(instances={"min": 2, "want": 2})
    healthy = observed(node, S.HEALTHY, S.HEALTHY)
    known = events(node, S.HEALTHY, S.HEALTHY)
    lost = an_event(node, 2, S.UNHEALTHY, Reason.PROCESS_EXITED)
    event = observe_node(node, known | {lost.instance: lost}, healthy, after(2))

    assert event is not None
    assert (event.status, event.since) == (N.UNHEALTHY, after(2))
    assert f"{lost.instance} is UNHEALTHY (PROCESS_EXITED: sentence of 2)" in event.sentence
    assert event.evidence == {lost.instance: "UNHEALTHY PROCESS_EXITED: sentence of 2"}
    assert [step.status for step in event.transitions] == ["HEALTHY", "UNHEALTHY"]


def test_a_long_list_of_troubles_is_cut() -> None:
    node = a_node(instances={"min": 1, "want": 20})
    event = observed(node, *[S.UNHEALTHY] * 20)

    assert len(event.evidence) == NAMED_MAX
    assert f"{20 - NAMED_MAX} more are UNHEALTHY" in event.sentence


def test_created_ends_when_the_start_timeout_has_passed() -> None:
    node = a_node(start_timeout_seconds=5)
    created = observed(node, S.PREPARING)
    assert overdue_at(node) == after(5)

    assert observed(node, S.PREPARING, before=created, seconds=4.999).status is N.CREATED
    assert observed(node, S.PREPARING, before=created, seconds=5).status is N.UNHEALTHY


def test_an_older_revision_serves_but_its_troubles_are_not_the_nodes() -> None:
    node = a_node(instances={"min": 1, "want": 2})
    older: dict[str, Any] = {"revision": "0" * 64}
    known = [
        an_event(node, 1, S.HEALTHY, **older),
        an_event(node, 2, S.UNHEALTHY, **older),
        an_event(node, 3, S.PREPARING),
    ]
    event = observe_node(node, {one.instance: one for one in known}, None, after(1))

    assert event is not None
    assert (event.status, event.healthy, event.healthy_of_revision) == (N.HEALTHY, 1, 0)
    assert event.evidence == {"PREPARING": "1"}


def test_instances_of_the_names_former_owner_do_not_count() -> None:
    node = a_node()
    stranger = an_event(node, 1, S.HEALTHY, uid=an_id(99))

    event = observe_node(node, {stranger.instance: stranger}, None, after(1))
    assert event is not None
    assert (event.status, event.healthy) == (N.CREATED, 0)


def test_a_name_used_again_begins_at_created() -> None:
    old = observed(a_node(), S.HEALTHY)
    again = a_node().model_copy(update={"uid": an_id(7)})
    event = observe_node(again, {}, old, after(9))

    assert event is not None
    assert (event.status, len(event.transitions)) == (N.CREATED, 1)


def test_a_node_that_was_healthy_before_it_was_looked_at_began_at_created() -> None:
    told: list[object] = []
    statuses = PartitionStatuses(Told(told), Clock())
    node = a_node()
    statuses.resume(events(node, S.HEALTHY).values())

    statuses.heard_node(node.place, node)
    statuses.recount()
    statuses.close()

    seen = [event.status for event in told if isinstance(event, NodeStatusChanged)]
    assert seen == [N.CREATED, N.HEALTHY]


def test_nothing_new_is_no_event() -> None:
    node = a_node()
    before = observed(node, S.HEALTHY)

    assert observe_node(node, events(node, S.HEALTHY), before, after(100)) is None


@pytest.mark.parametrize(
    ("changes", "status", "reason"),
    [
        ({"deleting": True}, N.DELETING, Reason.DELETE_REQUESTED),
        ({"suspended": True}, N.SUSPENDED, Reason.SUSPENDED_BY_OWNER),
    ],
)
def test_what_the_owner_wants_comes_before_what_instances_do(
    changes: dict[str, bool], status: NodeStatus, reason: Reason
) -> None:
    node = a_node()
    before = observed(node, S.HEALTHY)
    event = observed(node.model_copy(update=changes), S.HEALTHY, before=before)

    assert (event.status, event.reason, event.healthy) == (status, reason, 1)


def resumed(node: Node, at: float) -> Node:
    return node.model_copy(update={"suspended": False, "resumed_at": after(at), "generation": 3})


def test_a_suspended_node_tells_of_the_instances_that_are_still_leaving() -> None:
    node = a_node(instances={"want": 2})
    running = observed(node, S.HEALTHY, S.HEALTHY)
    suspended = node.model_copy(update={"suspended": True, "generation": 2})
    at_once = observed(suspended, S.HEALTHY, S.HEALTHY, before=running)
    leaving = observed(suspended, S.DELETING, S.DELETING, before=at_once, seconds=2)
    over = observed(suspended, before=leaving, seconds=7)

    assert [one.status for one in (at_once, leaving, over)] == [N.SUSPENDED] * 3
    assert at_once.sentence.endswith("on their way out: 2.")
    assert (leaving.evidence, leaving.healthy, leaving.since) == ({"DELETING": "2"}, 0, after(1))
    assert over.sentence == SENTENCES[Reason.SUSPENDED_BY_OWNER]
    assert [step.status for step in over.transitions] == ["HEALTHY", "SUSPENDED"]


def test_a_resumed_node_is_never_unhealthy_in_a_start_that_goes_well() -> None:
    node = a_node(instances={"min": 2, "want": 2}, start_timeout_seconds=5)
    event = observed(node.model_copy(update={"suspended": True}))
    back, seen = resumed(node, 100), []
    steps: Sequence[list[InstanceStatus]] = (
        [],
        [S.DELETING, S.UNDEFINED],
        [S.STARTED, S.PREPARING],
        [S.HEALTHY, S.PREPARING],
    )
    for seconds, statuses in enumerate(steps, start=101):
        event = observed(back, *statuses, before=event, seconds=seconds)
        seen.append((event.status, event.reason))

    assert seen == [(N.SUSPENDED, Reason.RESUMED)] * 4
    assert "1 healthy of 2 wanted, minimum 2" in event.sentence
    assert observed(back, S.HEALTHY, S.HEALTHY, before=event, seconds=104).status is N.HEALTHY


def test_a_resumed_node_is_unhealthy_at_the_first_trouble_or_when_it_takes_too_long() -> None:
    node = a_node(start_timeout_seconds=5)
    suspended = observed(node.model_copy(update={"suspended": True}))
    back = resumed(node, 100)

    def at(seconds: float, *statuses: InstanceStatus) -> NodeStatus:
        return observed(back, *statuses, before=suspended, seconds=seconds).status

    assert overdue_at(back) == after(105)
    assert at(101, S.UNHEALTHY) is N.UNHEALTHY
    assert (at(104.999, S.PREPARING), at(105, S.PREPARING)) == (N.SUSPENDED, N.UNHEALTHY)


nodes = st.builds(
    lambda least, deleting, suspended: a_node(instances={"min": least, "want": 3}).model_copy(
        update={"deleting": deleting, "suspended": suspended}
    ),
    st.integers(1, 3), st.booleans(), st.booleans(),
)  # fmt: skip
looks = st.tuples(nodes, st.lists(st.sampled_from(S), max_size=4), st.integers(0, 300))


@given(st.lists(looks, max_size=8))
def test_a_node_only_ever_makes_legal_moves(
    told: Sequence[tuple[Node, list[InstanceStatus], int]],
) -> None:
    before: NodeStatusChanged | None = None
    for node, statuses, seconds in told:
        now = N.CREATED if before is None else before.status
        after_it = observed(node, *statuses, before=before, seconds=seconds)
        assert after_it.status is now or after_it.status in NODE_MOVES[now]
        before = after_it
