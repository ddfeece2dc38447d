"""What bad input gets: the field, the variable or the difference by name, and nothing breaks."""

import json
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from cellnode import Store
from tests.e2e.bus import Follower, a_command, publish, publish_bytes
from tests.e2e.waiting import until
from tests.e2e.world import Damaged, World, known

NUMBER = {"name": "x", "schema": {"type": "number"}}
CELL = "y = 2 * x if what == 'double' else object() if what == 'object' else 1 / x"


@pytest.fixture(scope="module")
def dead(system: Any) -> Any:
    with Follower(system.kafka, "cellnode.dead-letters") as follower:
        yield follower


@pytest.mark.parametrize("value", [b"", b"{", b"\xff\xfe", b"[]", b'{"kind": "Unknown"}', b"null"])
def test_a_record_that_is_no_command_is_put_aside_and_blocks_nothing(
    world: World, dead: Follower, value: bytes
) -> None:
    name, before = world.name(), len(dead.seen())

    publish_bytes(world.system.kafka, value, f"default/{name}".encode())
    outcome = world.ask(name, world.pin(), "y = 1", outputs=["y"])

    assert outcome["kind"] == "CommandAccepted"
    until("it lies among the dead letters", lambda: len(dead.seen()) > before)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"checkpoint": "abc"}, "spec.checkpoint"),
        ({"cell": ""}, "spec.cell"),
        ({"instances": {"min": 3, "want": 2}}, "spec.instances"),
        ({"instance_type": "huge"}, "spec.instance_type"),
        ({"inputs": ["not a name"]}, "spec.inputs.0.name"),
        ({"colour": "red"}, "spec.colour"),
        ({"state": "fresh"}, "spec.state"),
    ],
)
def test_an_invalid_command_is_rejected_with_field_and_remedy(
    world: World, spec: dict[str, Any], field: str
) -> None:
    good = {"checkpoint": "0" * 64, "cell": "y = 1", "outputs": ["y"]}

    outcome = world.command("DeployNode", world.name(), spec=good | spec)

    assert outcome["kind"] == "CommandRejected"
    assert outcome["field"].startswith(field)
    assert outcome["sentence"]
    assert outcome["remedy"]


def test_the_same_id_repeats_its_outcome_and_another_body_is_refused(world: World) -> None:
    name = world.name()
    spec = {"checkpoint": world.pin(), "cell": "y = 1", "outputs": ["y"]}
    command = a_command("DeployNode", name, spec=spec)

    first = publish(world.system.kafka, command)
    again = publish(world.system.kafka, command)
    publish(world.system.kafka, {**command, "spec": {**spec, "cell": "y = 2"}})

    def refused() -> dict[str, Any] | None:
        return world.outcome(command["id"], "CommandRejected")

    assert (first["kind"], again["kind"]) == ("CommandAccepted", "CommandAccepted")
    assert first["generation"] == again["generation"] == 1
    assert until("the other body is refused", refused)["reason"] == "COMMAND_ID_REUSED"


def truncated(store: Store, digest: str) -> str:
    path = blob_of(store, digest)
    path.write_bytes(path.read_bytes()[:-1])
    return digest


def flipped(store: Store, digest: str) -> str:
    path = blob_of(store, digest)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return digest


def without_blob(store: Store, digest: str) -> str:
    blob_of(store, digest).unlink()
    return digest


def of_another_python(store: Store, digest: str) -> str:
    manifest = store.manifest(digest)
    manifest["python"] = {**manifest["python"], "version": "3.9.7"}
    return store.put_checkpoint(manifest)


def lacking_a_package(store: Store, digest: str) -> str:
    manifest = store.manifest(digest)
    return store.put_checkpoint({**manifest, "packages": {"no-such-package": "1.2.3"}})


def blob_of(store: Store, digest: str) -> Path:
    path = store.blob_path(store.manifest(digest)["groups"][0]["blob"]["sha256"])
    path.chmod(0o644)
    return path


@pytest.mark.parametrize(
    ("harm", "reason", "difference"),
    [
        (truncated, "CHECKPOINT_DAMAGED", "blob"),
        (flipped, "CHECKPOINT_DAMAGED", "blob"),
        (without_blob, "CHECKPOINT_MISSING", "blob"),
        (of_another_python, "PYTHON_MISMATCH", "pinned by CPython 3.9.7"),
        (lacking_a_package, "PACKAGE_MISSING", "no-such-package 1.2.3"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_told_exactly(
    world: World, harm: Callable[[Store, str], str], reason: str, difference: str
) -> None:
    digest = harm(Store(world.system.store), world.pin(unique=uuid4().hex))
    node = world.name()

    world.ask(node, digest, "y = 1", outputs=["y"])
    world.statuses.wait(f"default/{node}", "UNHEALTHY")
    told = world.statuses.wait(world.statuses.of(node)[0], "UNHEALTHY")

    assert told.reason == reason
    assert difference in json.dumps(told.value)
    refused = until("the node is known", lambda: known(world.call(node)))
    assert refused.code == "no-healthy-instance"


def test_a_checkpoint_that_raises_is_tried_later_each_time_with_its_traceback(
    world: World, facts: Follower
) -> None:
    node = world.name()
    world.ask(node, world.pin(bad=Damaged()), "y = 1", outputs=["y"])

    until("three tries", lambda: len(world.statuses.of(node)) >= 3, seconds=25)

    first = world.statuses.wait(world.statuses.of(node)[0], "UNHEALTHY")
    assert first.reason == "LOAD_FAILED"
    assert "RuntimeError: this value cannot be loaded" in json.dumps(first.value)
    names = world.statuses.of(node)[:4]
    until("their facts are here, too", lambda: all(facts.seen(name) for name in names))
    tries = [facts.seen(name)[0].value for name in names]
    times = [datetime.fromisoformat(one["wanted_at"]).timestamp() for one in tries if one]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps[-1] > gaps[0], gaps


@pytest.fixture(scope="module")
def strict_node(module_world: World) -> str:
    """A node that is called by all tests below, already routed to."""
    node = module_world.deploy(module_world.pin(), CELL, inputs=[NUMBER, "what"], outputs=["y"])
    module_world.answers(node, x=1, what="double")
    return node


@pytest.mark.parametrize(
    ("body", "status", "code", "named"),
    [
        (b"{", 400, "invalid-json", ""),
        (b"\xff", 400, "invalid-json", ""),
        (b"[]", 400, "invalid-input", "input"),
        (b'{"input": {"x": 1}}', 400, "invalid-input", "what"),
        (b'{"input": {"x": "one", "what": ""}}', 400, "invalid-input", "x"),
        (b'{"input": {"x": 1, "what": "", "z": 2}}', 400, "invalid-input", "z"),
        (b'{"input": {"x": 1, "what": "object"}}', 500, "invalid-output", "object"),
        (b'{"input": {"x": 0, "what": "none"}}', 500, "cell-error", "division by zero"),
    ],
)
def test_a_bad_call_is_told_by_name(
    world: World, strict_node: str, body: bytes, status: int, code: str, named: str
) -> None:
    with world.caller() as caller:
        answer = caller.send(strict_node, body)

    assert (answer.status, answer.code) == (status, code), answer.body
    assert named in json.dumps(answer.json)
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.headers.get("cellnode-error") == "cell") == (code == "cell-error")


def test_the_exception_of_a_cell_is_told_with_its_traceback_and_harms_nothing(
    world: World, strict_node: str
) -> None:
    failed = world.call(strict_node, x=0, what="none")
    after = world.call(strict_node, x=3, what="double")

    assert "ZeroDivisionError" in json.dumps(failed.json)
    assert "Traceback" in failed.json["traceback"]
    assert after.output == {"y": 6}
    assert world.status(strict_node).status == "HEALTHY"


def test_an_unknown_node_is_a_404(world: World) -> None:
    answer = world.call("nobody")

    assert (answer.status, answer.code) == (404, "node-unknown")
