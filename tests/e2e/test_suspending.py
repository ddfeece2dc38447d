"""SuspendNode and ResumeNode by whoever may write to the bus, seen from outside."""

from __future__ import annotations

import threading

import pytest

from tests.e2e.calls import Answer
from tests.e2e.system import traces_of
from tests.e2e.waiting import until
from tests.e2e.world import ROUTED_SECONDS_MAX, WHO, World


@pytest.fixture
def node(world: World) -> str:
    """Two instances; its cell tells who ran it, after a while."""
    cell = f"{WHO}\nimport time\ntime.sleep(s)"
    node = world.deploy(world.pin(), cell, inputs=["s"], outputs=["who"], want=2)
    world.routed(node, 2, s=0)
    return node


def accepted(world: World, kind: str, node: str, **fields: object) -> tuple[int, bool, str]:
    outcome = world.command(kind, node, **fields)
    assert outcome["kind"] == "CommandAccepted", outcome
    return outcome["generation"], outcome["changed"], outcome["sentence"]


def test_a_suspended_node_refuses_with_a_remedy_and_no_request_is_lost(
    world: World, node: str
) -> None:
    slow: list[Answer] = []
    caller = threading.Thread(target=lambda: slow.append(world.call(node, s=2)))
    with world.load(node, inputs=lambda: {"s": 0}) as seen:
        caller.start()
        until("it is busy", lambda: world.running_executions(node) >= 1)
        accepted(world, "SuspendNode", node)
        said = world.statuses.wait(f"default/{node}", "SUSPENDED")
        world.let_gateways_hear()
        late = world.call(node, s=0)
        until("they leave", lambda: len(world.statuses.instances(node, "DELETING")) == 2)
    caller.join(20)

    refused = seen.failed()
    assert said.reason == "SUSPENDED_BY_OWNER"
    assert {one.status for one in refused} == {503}, seen.told()
    assert {one.code for one in refused} <= {"node-suspended", "no-healthy-instance"}
    assert {one.headers["cellnode-not-executed"] for one in refused} == {"true"}
    assert min(one.begun for one in refused) - said.at <= ROUTED_SECONDS_MAX
    assert (late.code, ":resume" in late.json["remedy"]) == ("node-suspended", True)
    assert slow[0].status == 200


@pytest.mark.full
def test_a_suspended_node_has_nothing_left_but_its_spec_and_its_record(
    world: World, node: str
) -> None:
    instances = world.statuses.instances(node)
    accepted(world, "SuspendNode", node)
    leaving = [world.statuses.wait(one, "DELETING") for one in instances]
    world.only(node, 0)

    assert {one.reason for one in leaving} == {"SUSPENDED_BY_OWNER"}
    told = [one.value["sentence"] for one in world.statuses.seen(f"default/{node}") if one.value]
    assert any("on their way out: 2" in sentence for sentence in told)
    assert not [trace for trace in traces_of(world.system.data) if node in trace]
    assert accepted(world, "SuspendNode", node)[:2] == (2, False)
    assert world.projected("nodes")[f"default/{node}"]["spec"]["instances"]["want"] == 2
    assert world.command("DeleteNode", node)["kind"] == "CommandAccepted"
    world.statuses.wait(f"default/{node}", "gone")


@pytest.mark.full
def test_what_is_changed_while_suspended_runs_once_it_is_resumed(world: World) -> None:
    checkpoint = world.pin()
    node = world.deploy(checkpoint, "y = 1", outputs=["y"])
    accepted(world, "SuspendNode", node)
    world.statuses.wait(f"default/{node}", "SUSPENDED")

    changed = world.ask(node, checkpoint, "y = 2", outputs=["y"], want=1)
    _, _, said = accepted(world, "ScaleNode", node, want=2)
    assert "stays suspended" in changed["sentence"]
    assert "stays suspended" in said
    assert accepted(world, "RecreateNode", node)[0] == 5
    assert world.staying(node) == set()
    assert world.call(node).code == "node-suspended"

    accepted(world, "ResumeNode", node)
    world.statuses.wait(f"default/{node}", "HEALTHY", after=world.status(node).at)
    until("it answers", lambda: world.answers(node).output == {"y": 2})
    until("two of it", lambda: len(world.statuses.instances(node, "HEALTHY")) == 2)
    assert "UNHEALTHY" not in world.statuses.statuses(f"default/{node}")
    assert accepted(world, "ResumeNode", node)[:2] == (6, False)


@pytest.mark.full
def test_a_resumed_node_is_never_said_to_be_unhealthy_in_a_start_that_goes_well(
    world: World,
) -> None:
    gate = world.gate()
    gate.open()
    node = world.deploy(world.pin(slow=gate), "y = 1", outputs=["y"])
    (former,) = world.statuses.instances(node)
    accepted(world, "SuspendNode", node)
    world.statuses.wait(former, "DELETING")
    gate.close()
    accepted(world, "ResumeNode", node)
    until("it is resumed", lambda: world.status(node).reason == "RESUMED")
    assert world.call(node).code in {"no-healthy-instance", "node-suspended"}
    (instance,) = until("one starts", lambda: world.staying(node))
    world.statuses.wait(instance, "PREPARING")
    assert world.status(node).status == "SUSPENDED"
    gate.open()

    world.statuses.wait(instance, "HEALTHY")
    until("healthy", lambda: world.status(node).status == "HEALTHY")
    assert world.statuses.statuses(f"default/{node}")[-2:] == ["SUSPENDED", "HEALTHY"]
