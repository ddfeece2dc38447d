"""What cellnode promises, a letter a sentence, seen from outside on real processes."""

import json
import signal
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

import pytest

from tests.e2e.bus import Follower, Json
from tests.e2e.calls import BODY_BYTES_MAX, Answer, padded
from tests.e2e.documents import is_as_documented
from tests.e2e.lives import Lives, largest_difference, metered_by_bus, metered_by_http
from tests.e2e.outside import statuses_by_the_example
from tests.e2e.system import System, traces_of
from tests.e2e.waiting import stays, until
from tests.e2e.world import (
    ROUTED_SECONDS_MAX,
    WHO,
    Damaged,
    World,
    gone,
    known,
    moment,
    said_by,
    trained_digits,
)
from tests.sources import ROOT

START = ["UNDEFINED", "CREATED", "STARTED", "PREPARING", "HEALTHY"]
COUNTS = f"{WHO}\ncount += 1"
NO_CHECKPOINT = "0" * 64


def test_a_a_trained_model_becomes_a_service_that_answers_as_the_interpreter_does(
    world: World,
) -> None:
    model, images, answers = trained_digits()
    cell = "digit = int(model.predict([image])[0])"
    node = world.deploy(world.pin(model=model), cell, inputs=["image"], outputs=["digit"])

    world.answers(node, image=images[0].tolist())
    served = [world.call(node, image=image.tolist()).output["digit"] for image in images]

    assert served == answers
    assert len(set(answers)) == 10


def test_b_a_change_after_the_pin_is_not_seen_by_the_node(world: World) -> None:
    namespace = {"factor": 2, "table": {"a": 1}}
    checkpoint = world.pin(**namespace)
    namespace["factor"] = 3
    namespace["table"]["a"] = 9  # type: ignore[index]

    node = world.deploy(checkpoint, "y = x * factor + table['a']", inputs=["x"], outputs=["y"])

    assert world.answers(node, x=10).output == {"y": 21}


def test_c_twice_the_instances_give_about_twice_the_throughput(world: World) -> None:
    cell = f"{WHO}\nimport time\ntime.sleep(0.05)"
    node = world.deploy(world.pin(), cell, outputs=["who"])

    def throughput() -> tuple[float, set[int]]:
        with world.load(node, connections=8, pause_seconds=0) as seen:
            seen.answers.clear()
            time.sleep(1.5)
            served = list(seen.answers)
        return len(served) / 1.5, {answer.output["who"] for answer in served}

    alone, one = throughput()
    world.command("ScaleNode", node, want=2, min=2)
    world.healthy(node, 2)
    world.routed(node, 2)
    together, two = throughput()

    assert (len(one), len(two)) == (1, 2)
    assert together / alone == pytest.approx(2, rel=0.2)


def test_e_instances_come_and_go_unseen_by_callers_who_know_only_the_name(world: World) -> None:
    node = world.deploy(world.pin(), WHO, outputs=["who"])

    with world.load(node) as seen:
        world.command("ScaleNode", node, want=2)
        world.healthy(node, 2)
        world.recreate(node, 2)
        world.command("ScaleNode", node, want=1)
        world.healthy(node, 1)
        seen.wait_for(20)

    assert not seen.failed(), seen.told()
    assert len({answer.output["who"] for answer in seen.answers}) >= 3


def test_f_a_node_without_a_checkpoint_is_refused_or_says_so_and_starts_nothing(
    world: World,
) -> None:
    missing = world.name()
    world.ask(missing, NO_CHECKPOINT, "y = 1", outputs=["y"])
    said = world.statuses.wait(f"default/{missing}", "UNHEALTHY")

    refused = world.command("DeployNode", world.name(), spec={"cell": "y = 1", "outputs": ["y"]})

    instance = world.statuses.instances(missing)[0]
    told = world.statuses.wait(instance, "UNHEALTHY")
    assert told.reason == "CHECKPOINT_MISSING"
    assert NO_CHECKPOINT in json.dumps(told.value)
    assert "CHECKPOINT_MISSING" in json.dumps(said.value)
    assert not [trace for trace in traces_of(world.system.data) if instance in trace]
    assert (refused["kind"], refused["field"]) == ("CommandRejected", "spec.checkpoint")
    assert refused["remedy"]


def test_g_two_nodes_of_one_checkpoint_have_two_apis_each_true_to_its_node(world: World) -> None:
    checkpoint = world.pin(factor=2, words=["a"], later=None)
    one = world.deploy(checkpoint, "y = factor * 2", inputs=["factor"], outputs=["y"])
    other = world.deploy(checkpoint, "factor = len(words)", inputs=["words"], outputs=["factor"])
    inputs: list[Json] = [{"factor": 3}, {"factor": "a"}, {"words": ["b", "c"]}, {"words": [1]}, {}]

    taken = {
        node: [is_as_documented(world, node, given) for given in inputs] for node in (one, other)
    }

    assert taken == {
        one: [True, False, False, False, False],
        other: [False, False, True, False, False],
    }


def test_h_requests_change_the_state_of_their_own_instance_only(world: World) -> None:
    node = world.deploy(world.pin(count=0), COUNTS, outputs=["count", "who"], want=2)
    counts: dict[int, list[int]] = defaultdict(list)

    def both_have_counted() -> bool:
        output = world.answers(node).output
        counts[output["who"]].append(output["count"])
        return len(counts) == 2 and all(len(seen) > 2 for seen in counts.values())

    until("both instances were asked", both_have_counted)
    assert all(seen == list(range(1, len(seen) + 1)) for seen in counts.values())


def test_i_restarts_change_no_state_and_only_making_anew_brings_the_pinned_one_back(
    world: World,
) -> None:
    node = world.deploy(world.pin(count=0), COUNTS, outputs=["count", "who"])
    first = world.answers(node).output
    for service in ("gateway", "provisioner", "health", "redis"):
        world.system.restart(service, signal.SIGTERM)
        assert world.answers(node).output["who"] == first["who"]
    assert world.answers(node).output["count"] == first["count"] + 5

    world.command("ScaleNode", node, want=2)
    world.recreate(node, 2)
    world.let_gateways_hear()

    seen: dict[int, int] = {}
    until("both are new", lambda: note(seen, world.answers(node)) and len(seen) == 2)
    assert first["who"] not in seen
    assert set(seen.values()) == {1}


def test_i_a_restart_of_the_bus_changes_no_state(own_system: System) -> None:
    """A whole system of its own, since whoever reads the bus has to find the new one."""
    with Follower(own_system.kafka) as statuses:
        world = World(own_system, statuses)
        node = world.deploy(world.pin(count=0), COUNTS, outputs=["count", "who"])
        first = world.answers(node).output

    own_system.restart_broker()
    with Follower(own_system.kafka) as statuses:
        world = World(own_system, statuses)
        world.healthy(node, 1)

        assert world.call(node).output == {"count": first["count"] + 1, "who": first["who"]}


def note(seen: dict[int, int], answer: Answer) -> bool:
    """Remember the first count of each instance."""
    seen.setdefault(answer.output["who"], answer.output["count"])
    return True


def test_j_sixteen_mib_pass_each_way_and_not_a_byte_more(world: World) -> None:
    cell = "size, y = len(x), 'y' * n"
    node = world.deploy(world.pin(), cell, inputs=["x", "n"], outputs=["size", "y"])
    around = len(world.answers(node, x="", n=0).body)

    with world.caller() as caller:
        largest = caller.send(node, padded("x", BODY_BYTES_MAX, n=0))
        answered = caller.call(node, x="", n=BODY_BYTES_MAX - around)
        beyond = caller.call(node, x="", n=BODY_BYTES_MAX - around + 1)
        too_large = caller.send(node, padded("x", BODY_BYTES_MAX + 1, n=0))

    assert largest.output["size"] > BODY_BYTES_MAX - 100
    assert (too_large.status, too_large.code) == (413, "request-too-large")
    assert (answered.status, len(answered.body)) == (200, BODY_BYTES_MAX)
    assert (beyond.status, beyond.code) == (500, "response-too-large")


def test_m_what_a_node_costs_is_said_before_it_is_made(world: World, tmp_path: Path) -> None:
    node, spec = world.name(), tmp_path / "spec.json"
    wanted = {"node": node, "checkpoint": world.pin(), "cell": "y = 1", "outputs": ["y"]}
    spec.write_text(json.dumps({**wanted, "instances": {"min": 1, "want": 2}}))
    url = "http://{}:{}".format(*world.system.gateway)

    ran = said_by([sys.executable, "-m", "cellnode", "deploy", str(spec), "--url", url], ROOT)

    assert ran.returncode == 0, ran.stderr
    first, *others = ran.stdout.splitlines()
    assert "2 instances of type small: 1 unit an hour each, 2 in all" in first
    assert "idle" in first
    assert any("HEALTHY" in line for line in others)


@pytest.mark.full
def test_m_the_metered_seconds_are_the_true_ones_through_a_crash_of_the_provisioner(
    world: World,
) -> None:
    """An instance dies while nobody is there to see it; another comes, then all go."""
    node = world.deploy(world.pin(), "y = 1", outputs=["y"], want=2)
    with Lives(world.system, node) as lives:
        until("both are watched", lambda: len(lives.begun) == 2)
        world.system.kill_service("provisioner")
        world.system.kill_agent(min(lives.begun))
        until("its end is seen", lambda: lives.ended)
        world.command("ScaleNode", node, want=3)
        world.healthy(node, 3)
        until("four lived", lambda: len(lives.begun) == 4)
        world.command("DeleteNode", node)
        world.statuses.wait(f"default/{node}", "gone", seconds=30)
    truth = lives.seconds()

    assert len(lives.ended) == 4
    assert largest_difference(metered_by_bus(world.system.kafka, node), truth) <= 1.0
    assert largest_difference(metered_by_http(world.system, node), truth) <= 1.0


def test_n_an_instance_without_a_vm_is_undefined_as_long_as_there_is_no_room(
    small_world: World,
) -> None:
    """The system has room for two instances."""
    world, node = small_world, small_world.name()
    world.ask(node, world.pin(), "y = 1", outputs=["y"], want=3, min=1)

    def waiting() -> list[str]:
        return world.statuses.instances(node, "UNDEFINED")

    until("two run, one waits", lambda: len(world.statuses.instances(node, "HEALTHY")) == 2)
    third = waiting()
    assert len(third) == 1
    stays("it waits", lambda: waiting() == third, seconds=1)
    assert not (world.system.data / "instances" / third[0]).exists()
    assert {world.statuses.statuses(name)[0] for name in world.statuses.instances(node)} == {
        "UNDEFINED"
    }


def test_o_an_instance_is_created_until_there_is_contact(world: World) -> None:
    node, held = world.name(), []

    def hold() -> None:
        held.append(world.hold_back(node))

    holding = threading.Thread(target=hold, daemon=True)
    holding.start()
    world.ask(node, world.pin(), "y = 1", outputs=["y"])
    holding.join(10)
    (instance,) = world.statuses.instances(node)

    world.statuses.wait(instance, "CREATED")
    stays("it is CREATED", lambda: world.statuses.statuses(instance)[-1] == "CREATED", seconds=1)

    world.system.signal_session(held[0], signal.SIGCONT)
    world.statuses.wait(instance, "HEALTHY")
    assert world.statuses.statuses(instance) == START


def test_p_an_instance_is_started_at_contact_before_its_checkpoint_is_touched(
    world: World,
) -> None:
    node, gate = world.name(), world.gate()
    world.ask(node, world.pin(slow=gate), "y = 1", outputs=["y"])

    (instance,) = until("it is known", lambda: world.statuses.instances(node))
    started = world.statuses.wait(instance, "STARTED")
    world.statuses.wait(instance, "PREPARING")
    until("the checkpoint is read", lambda: gate.was_reached)

    assert started.reason == "CONTACT"
    assert moment(started.value["since"]) <= gate.reached_at  # type: ignore[index]
    gate.open()


def test_q_an_instance_that_loads_is_preparing_and_gets_no_request(world: World) -> None:
    node, gate = world.name(), world.gate()
    world.ask(node, world.pin(slow=gate), "y = 1", outputs=["y"])
    (instance,) = until("it is known", lambda: world.statuses.instances(node))
    world.statuses.wait(instance, "PREPARING")

    stays("it loads", lambda: world.statuses.statuses(instance)[-1] == "PREPARING", seconds=1)
    refused = until("the node is known", lambda: known(world.call(node)))

    assert (refused.status, refused.code) == (503, "no-healthy-instance")
    assert int(refused.headers["retry-after"]) >= 1
    gate.open()
    world.statuses.wait(instance, "HEALTHY")
    assert world.answers(node).output == {"y": 1}


def test_r_a_healthy_instance_gets_requests_within_a_quarter_second(world: World) -> None:
    node = world.deploy(world.pin(), f"{WHO}\nimport time\ntime.sleep(0.005)", outputs=["who"])
    (first,) = world.statuses.instances(node)

    with world.load(node, pause_seconds=0) as seen:
        world.command("ScaleNode", node, want=2)
        second = until("a second one", lambda: set(world.statuses.instances(node)) - {first}).pop()
        healthy = world.statuses.wait(second, "HEALTHY")
        seen.wait_for(60)

    old = seen.answers[0].output["who"]
    reached = min(answer.ended for answer in seen.answers if answer.output["who"] != old)
    assert reached - healthy.at <= ROUTED_SECONDS_MAX
    assert not seen.failed(), seen.told()


def test_s_an_unhealthy_instance_gets_nothing_says_why_and_returns(world: World) -> None:
    probe = {"interval_seconds": 0.1, "timeout_seconds": 0.2, "fails": 2, "passes": 1}
    node = world.deploy(
        world.pin(), WHO, outputs=["who"], want=2, min=1, probe=probe, idempotent=True
    )
    stopped = world.statuses.instances(node)[0]

    with world.load(node) as seen:
        before = time.monotonic()
        world.system.kill_instance(stopped, signal.SIGSTOP)
        trouble = world.statuses.wait(stopped, "UNHEALTHY", after=before)
        until("a second without it", lambda: time.monotonic() > trouble.at + 1)
        world.system.kill_instance(stopped, signal.SIGCONT)
        back = world.statuses.wait(stopped, "HEALTHY", after=trouble.at)
        seen.wait_for(30)

    between = [a for a in seen.answers if trouble.at + ROUTED_SECONDS_MAX < a.begun < back.at - 0.1]
    assert len({answer.output["who"] for answer in between}) == 1
    assert (trouble.reason, back.reason) == ("PROBES_FAILED", "PROBES_PASSED")
    assert trouble.value["evidence"]  # type: ignore[index]
    assert not seen.failed(), seen.told()


def test_s_an_unhealthy_instance_that_does_not_recover_is_replaced(world: World) -> None:
    node = world.deploy(world.pin(), WHO, outputs=["who"], want=2, min=1, idempotent=True)
    killed = world.statuses.instances(node)[0]

    with world.load(node) as seen:
        before = time.monotonic()
        world.system.kill_agent(killed)
        trouble = world.statuses.wait(killed, "UNHEALTHY", after=before)
        world.statuses.wait(killed, "gone")
        world.healthy(node, 2)
        seen.wait_for(20)

    # Health may see the broken connection before it hears of the exit.
    assert trouble.reason in ("PROCESS_EXITED", "PROBES_FAILED")
    told = [one for one in world.statuses.seen(killed) if one.reason == "PROCESS_EXITED"]
    assert "9" in json.dumps(told[0].value["evidence"])  # type: ignore[index]
    assert killed not in world.statuses.instances(node)
    assert not seen.failed(), seen.told()


def test_t_a_deleted_instance_finishes_what_it_has_and_leaves_nothing(world: World) -> None:
    cell = f"{WHO}\nimport time\ntime.sleep(s)"
    node = world.deploy(world.pin(), cell, inputs=["s"], outputs=["who"], want=2)
    world.routed(node, 2, s=0)
    answers: list[Answer] = []

    def slow_call() -> None:
        answers.append(world.call(node, s=2))

    callers = [threading.Thread(target=slow_call) for _ in range(2)]
    for caller in callers:
        caller.start()
    until("both are busy", lambda: world.running_executions(node) == 2)
    world.command("ScaleNode", node, want=1, min=1)
    leaving = until("one leaves", lambda: world.statuses.instances(node, "DELETING"))[0]
    world.let_gateways_hear()
    quick = [world.call(node, s=0).output["who"] for _ in range(5)]
    for caller in callers:
        caller.join(20)

    assert {answer.status for answer in answers} == {200}
    assert len(set(quick)) == 1
    world.statuses.wait(leaving, "gone")
    until("no trace", lambda: not [t for t in traces_of(world.system.data) if leaving in t])
    assert not (world.system.data / "instances" / leaving).exists()


def test_u_a_node_is_created_until_first_healthy_or_first_in_trouble(world: World) -> None:
    good, bad, gate = world.name(), world.name(), world.gate()
    world.ask(good, world.pin(slow=gate), "y = 1", outputs=["y"])
    world.ask(bad, world.pin(bad=Damaged()), "y = 1", outputs=["y"])

    world.statuses.wait(f"default/{bad}", "UNHEALTHY")
    stays("it loads", lambda: world.status(good).status == "CREATED", seconds=0.5)
    gate.open()
    world.statuses.wait(f"default/{good}", "HEALTHY")

    assert world.statuses.statuses(f"default/{good}") == ["CREATED", "HEALTHY"]
    assert world.statuses.statuses(f"default/{bad}")[:2] == ["CREATED", "UNHEALTHY"]


def test_v_a_node_is_healthy_exactly_at_its_minimum(world: World) -> None:
    node = world.deploy(world.pin(), "y = 1", outputs=["y"], want=3, min=2)
    for instance in world.statuses.instances(node)[:2]:
        world.system.kill_instance(instance)
    world.statuses.wait(f"default/{node}", "UNHEALTHY")
    world.healthy(node, 3)

    said = [one.value for one in world.statuses.seen(f"default/{node}") if one.value]
    assert {one["healthy"] for one in said} >= {1, 2, 3}
    for one in said:
        enough = one["healthy"] >= one["min"]
        assert (one["status"] == "HEALTHY") is enough, one


def test_w_an_unhealthy_node_says_which_instance_and_why(world: World) -> None:
    node = world.deploy(world.pin(), "y = 1", outputs=["y"], want=2)
    killed = world.statuses.instances(node)[0]

    world.system.kill_instance(killed)
    trouble = world.statuses.wait(killed, "UNHEALTHY")
    said = world.statuses.wait(f"default/{node}", "UNHEALTHY")

    assert said.at - trouble.at < 0.5
    assert said.reason == "TOO_FEW_HEALTHY"
    assert killed in json.dumps(said.value["evidence"])  # type: ignore[index]
    assert "PROCESS_EXITED" in json.dumps(said.value["evidence"])  # type: ignore[index]


def test_x_a_deleted_node_refuses_at_once_and_is_gone_everywhere(
    world: World, records: Follower, facts: Follower
) -> None:
    node = world.deploy(world.pin(), "y = 1", outputs=["y"])
    (instance,) = world.statuses.instances(node)

    world.command("DeleteNode", node)
    world.statuses.wait(f"default/{node}", "DELETING")
    refused = until("refused", lambda: gone(world.call(node)), seconds=ROUTED_SECONDS_MAX)
    world.statuses.wait(f"default/{node}", "gone")

    assert refused.status in (404, 410)
    for topic, key in ((records, f"default/{node}"), (facts, instance), (world.statuses, instance)):
        topic.wait(key, "gone")
    until("not in Redis", lambda: node not in world.everything_projected())
    assert (world.call(node).status, world.call(node).code) == (404, "node-unknown")
    assert not [trace for trace in traces_of(world.system.data) if node in trace]
    assert not (world.system.data / "instances" / instance).exists()


def test_y_whoever_may_write_to_the_bus_can_deploy(world: World, tmp_path: Path) -> None:
    """The program in `examples/` knows nothing but the address and the JSON."""
    node, spec = world.name(), tmp_path / "spec.json"
    checkpoint = world.pin(offset=5)
    wanted = {"checkpoint": checkpoint, "cell": "y = x + offset", "inputs": ["x"]}
    spec.write_text(json.dumps({**wanted, "outputs": ["y"]}))

    program = str(ROOT / "examples" / "deploy_from_the_bus.py")
    ran = said_by([sys.executable, program, world.system.kafka, node, str(spec)], tmp_path)

    assert ran.returncode == 0, ran.stderr
    outcome = json.loads(ran.stdout)
    assert (outcome["kind"], outcome["generation"]) == ("CommandAccepted", 1)
    world.healthy(node, 1)
    assert world.answers(node, x=1).output == {"y": 6}


def test_z_an_outside_consumer_rebuilds_the_present_state_from_nothing(
    world: World, system: System
) -> None:
    """The program in `examples/` knows nothing but the address, the topic and the JSON."""
    node = world.deploy(world.pin(), "y = 1", outputs=["y"], want=2)
    world.recreate(node, 2)
    world.only(node, 2)

    def look() -> bool:
        return statuses_by_the_example(system.kafka) == world.everything_known()

    with Follower(system.kafka) as newcomer:
        until("it has caught up", lambda: world.folded(newcomer) == world.everything_known())
    until("the program says the same", look)

    known = world.everything_known()
    assert known[f"default/{node}"]["status"] == "HEALTHY"
    assert sum(value["node"] == node for value in known.values()) == 3
