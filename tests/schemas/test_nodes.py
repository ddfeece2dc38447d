"""A node's status, for every mix of instances and every status before."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.nodes import Node, node_status
from schemas.specs import revision_of
from schemas.statuses import NODE_MOVES, InstanceStatus, NodeStatus
from tests.builders import a_node, a_spec

In, N = InstanceStatus, NodeStatus


def of_two(**changes: bool) -> Node:
    return a_node(instances={"min": 2, "want": 3}).model_copy(update=changes)


@pytest.mark.parametrize(
    ("instances", "before", "overdue", "expected"),
    [
        ([], N.CREATED, False, N.CREATED),
        ([In.PREPARING, In.HEALTHY, In.CREATED], N.CREATED, False, N.CREATED),
        ([In.PREPARING, In.HEALTHY, In.CREATED], N.CREATED, True, N.UNHEALTHY),
        ([In.HEALTHY, In.UNHEALTHY, In.CREATED], N.CREATED, False, N.UNHEALTHY),
        ([In.HEALTHY, In.HEALTHY, In.UNHEALTHY], N.CREATED, False, N.HEALTHY),
        ([In.HEALTHY, In.HEALTHY, In.UNHEALTHY], N.UNHEALTHY, False, N.HEALTHY),
        ([In.HEALTHY, In.DELETING, In.CREATED], N.HEALTHY, False, N.UNHEALTHY),
        ([In.HEALTHY, In.HEALTHY], N.SUSPENDED, False, N.HEALTHY),
        ([], N.SUSPENDED, False, N.SUSPENDED),
        ([In.DELETING, In.PREPARING, In.HEALTHY], N.SUSPENDED, False, N.SUSPENDED),
        ([In.DELETING, In.PREPARING, In.HEALTHY], N.SUSPENDED, True, N.UNHEALTHY),
        ([In.HEALTHY, In.UNHEALTHY], N.SUSPENDED, False, N.UNHEALTHY),
    ],
)
def test_healthy_exactly_at_the_minimum_not_one_less(
    instances: list[InstanceStatus], before: NodeStatus, overdue: bool, expected: NodeStatus
) -> None:
    assert node_status(of_two(), instances, before, overdue) is expected


@pytest.mark.parametrize("before", [one for one in N if one is not N.DELETING])
def test_a_suspended_node_is_suspended_at_once_whatever_its_instances_are(
    before: NodeStatus,
) -> None:
    for mix in product(InstanceStatus, repeat=2):
        assert node_status(of_two(suspended=True), mix, before, True) is N.SUSPENDED


def test_only_legal_moves_are_ever_made() -> None:
    """Every node, every mix of three instances, every status before."""
    for deleting, suspended, overdue in product([False, True], repeat=3):
        node = of_two(deleting=deleting, suspended=suspended)
        for before, mix in product(NodeStatus, product(InstanceStatus, repeat=3)):
            after = node_status(node, mix, before, overdue)
            assert after is before or after in NODE_MOVES[before]


@given(st.integers(0, 5))
def test_a_revision_changes_with_what_instances_are_made_of_and_nothing_else(count: int) -> None:
    spec = a_spec()
    assert revision_of(spec, count) != revision_of(spec, count + 1)
    assert revision_of(spec, count) != revision_of(a_spec(cell="y = 3"), count)
    same = a_spec(instances={"min": 1, "want": 9}, queue_max=3, idempotent=True)
    assert revision_of(spec, count) == revision_of(same, count)


def test_a_schema_with_floats_has_a_revision() -> None:
    bounded = {"name": "x", "schema": {"type": "number", "minimum": 0.5}}
    other = {"name": "x", "schema": {"type": "number", "minimum": 0.25}}
    assert revision_of(a_spec(inputs=[bounded]), 0) != revision_of(a_spec(inputs=[other]), 0)
