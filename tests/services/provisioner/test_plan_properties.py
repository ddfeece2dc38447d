"""Whatever happens to a group, the plan leads back to what is wanted and never below."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.commands import ResumeNode, SuspendNode
from schemas.nodes import Node
from schemas.statuses import InstanceStatus, Reason
from services.provisioner.failures import after_replacing
from tests.builders import NOON, a_node
from tests.services.provisioner.planning import HEALTHY, UNHEALTHY, World

TROUBLES = (Reason.PROBES_FAILED, Reason.LOAD_FAILED, Reason.INTERPRETER_CRASHED)
EVENTS = ("exit", "trouble", "recover", "update", "up", "down", "time", "suspend", "resume")
STEPS_MAX = 400
START_ATTEMPTS_MAX = 10
CRASH_WINDOW = timedelta(minutes=5)


def scaled(node: Node, want: int) -> Node:
    instances = node.spec.instances.model_copy(update={"want": want, "min": 1})
    spec = node.spec.model_copy(update={"instances": instances})
    return node.model_copy(update={"spec": spec, "generation": node.generation + 1})


def happen(world: World, event: str, number: int) -> None:
    """One event of the world outside, at one of the instances."""
    keys = [key for key, one in world.instances.items() if one.handle and not one.exited]
    key = keys[number % len(keys)] if keys else None
    if event == "update":
        revision = f"{world.node.generation:064x}"
        changes = {"revision": revision, "generation": world.node.generation + 1}
        world.node = world.node.model_copy(update=changes)
    elif event in {"up", "down"}:
        world.node = scaled(world.node, 1 + number % 5)
    elif event in {"suspend", "resume"}:
        world.command(SuspendNode if event == "suspend" else ResumeNode)
    elif event == "time":
        world.pass_time(number)
    elif key and event == "exit":
        world.exit(key)
    elif key:
        why = TROUBLES[number % len(TROUBLES)]
        world.become(key, UNHEALTHY if event == "trouble" else HEALTHY, why)


def settle(world: World) -> None:
    """All that is made becomes healthy, and time passes, until nothing is left to do."""
    for _ in range(STEPS_MAX):
        for key in world.without_status():
            world.become(key, HEALTHY)
        if not [one for one in world.step() if type(one).__name__ != "Wait"]:
            one = world.healthy()
            if one == len(world.instances) == world.node.instances_wanted:
                return
        world.pass_time(2)
    raise AssertionError(f"did not converge: {world.instances} {world.statuses}")


@settings(max_examples=150, deadline=None)
@given(
    want=st.integers(1, 5),
    events=st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(0, 30)), max_size=25),
)
def test_the_group_converges_after_any_events(want: int, events: list[tuple[str, int]]) -> None:
    """`World.step` fails if a plan ever gives up healthy instances below what is wanted."""
    world = World(a_node(instances={"want": want}))
    for event, number in events:
        happen(world, event, number)
        world.step()
        for key in world.without_status()[: number % 3]:
            world.become(key, HEALTHY)

    settle(world)
    present = {world.node.revision} if world.node.instances_wanted else set()
    assert {one.revision for one in world.instances.values()} == present


@settings(max_examples=50, deadline=None)
@given(want=st.integers(1, 5), failures=st.integers(0, 9), began=st.integers(0, 3))
def test_a_suspended_node_loses_all_and_comes_back_at_once_with_other_numbers(
    want: int, failures: int, began: int
) -> None:
    world = World(a_node(instances={"want": want}))
    for _ in range(began):
        world.step()
        for key in world.without_status():
            world.become(key, HEALTHY)
    world.node = after_replacing(world.node, failures, world.now)
    before = set(world.instances)

    world.command(SuspendNode)
    settle(world)
    assert world.instances == {}
    world.command(ResumeNode)
    world.step()
    assert len(world.instances) == want
    assert not before & set(world.instances)


@settings(max_examples=30, deadline=None)
@given(
    want=st.integers(1, 4),
    fault=st.sampled_from(["exit", Reason.LOAD_FAILED, Reason.CHECKPOINT_DAMAGED]),
)
def test_a_crash_loop_is_bounded_and_never_piles_up(want: int, fault: str | Reason) -> None:
    """At most ten attempts for each wanted instance in five minutes."""
    world = World(a_node(instances={"want": want}))
    while world.now < NOON + CRASH_WINDOW:
        world.step()
        for key in world.without_status():
            if isinstance(fault, Reason):
                world.become(key, UNHEALTHY, fault)
            else:
                world.exit(key)
        assert len(world.instances) <= 2 * want
        world.pass_time(0.25)

    assert want < len(world.starts) <= START_ATTEMPTS_MAX * want


@settings(max_examples=50, deadline=None)
@given(want=st.integers(1, 5), updates=st.integers(1, 4))
def test_updates_never_take_capacity(want: int, updates: int) -> None:
    world = World(a_node(instances={"want": want}))
    settle(world)
    for number in range(updates):
        happen(world, "update", number)
        while any(one.revision != world.node.revision for one in world.instances.values()):
            world.step()
            assert world.healthy() >= want
            assert len([one for one in world.instances.values() if not one.deleting]) <= want + 1
            for key in world.without_status():
                world.become(key, HEALTHY)


@settings(max_examples=50, deadline=None)
@given(want=st.integers(1, 5), steps=st.integers(0, 5))
def test_a_deleted_node_is_buried_with_nothing_left(want: int, steps: int) -> None:
    world = World(a_node(instances={"want": want}))
    for _ in range(steps):
        world.step()
    for key in world.without_status():
        world.become(key, InstanceStatus.STARTED)
    world.node = world.node.model_copy(update={"deleting": True})
    for _ in range(4):
        world.step()

    assert world.is_buried
    assert world.instances == {}
