"""Every way in which a request is refused: the code, the field, the remedy, the ids."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from schemas.views import ProblemView
from tests.services.api.world import Reply, World
from tests.services.provisioner.scenes import a_checkpoint

pytestmark = pytest.mark.asyncio(loop_scope="module")

NODE = "/v1/nodes/digits"


async def test_every_error_is_a_problem_with_its_ids(world: World) -> None:
    reply = await world.client.get("/v1/nodes/nobody", X_Request_ID="mine-1")
    assert reply.headers["Content-Type"].startswith("application/problem+json")
    assert reply.headers["X-Request-ID"] == "mine-1"
    view = ProblemView.model_validate_json(reply.body)
    assert (view.status, view.type) == (404, "urn:cellnode:problem:node-unknown")
    assert view.request_id == "mine-1"
    assert view.trace_id is not None
    assert len(view.trace_id) == 32
    assert view.remedy


async def test_the_callers_trace_is_gone_on_with(world: World) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    reply = await world.client.get(
        "/v1/nodes/nobody", traceparent=f"00-{trace}-b7ad6b7169203331-01", X_Request_ID="bad id"
    )
    assert reply.json["trace_id"] == trace
    assert reply.headers["X-Request-ID"] == reply.json["request_id"] != "bad id"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "not-found"),
        ("GET", "/v1/nodes/a/b", 404, "not-found"),
        ("POST", "/v1/nodes/digits:dance", 404, "not-found"),
        ("PATCH", NODE, 405, "method-not-allowed"),
        ("GET", "/v1/nodes/Digits", 422, "invalid-field"),
        ("GET", "/v1/nodes?limit=0", 422, "invalid-field"),
        ("GET", "/v1/nodes?limit=a", 422, "invalid-field"),
        ("GET", "/v1/nodes?colour=red", 422, "invalid-field"),
        ("GET", "/v1/nodes?limit=1&limit=2", 422, "invalid-field"),
        ("GET", "/v1/nodes?status=TIRED", 422, "invalid-field"),
        ("GET", "/v1/commands/1", 422, "invalid-field"),
        ("GET", "/v1/commands/00000000-0000-0000-0000-000000000001", 404, "command-unknown"),
        ("GET", "/v1/commands?after=x", 422, "invalid-field"),
        ("GET", "/v1/events?since=yesterday", 422, "invalid-field"),
        ("GET", "/v1/events?kind=Nothing", 422, "invalid-field"),
        ("DELETE", f"{NODE}?wait=HEALTHY", 422, "invalid-field"),
        ("DELETE", f"{NODE}?timeout_seconds=-1", 422, "invalid-field"),
        ("POST", f"{NODE}:scale", 415, "unsupported-media-type"),
    ],
)
async def test_a_wrong_request_is_named(
    world: World, method: str, path: str, status: int, code: str
) -> None:
    reply = await world.client.ask(method, path)
    assert (reply.status, reply.code) == (status, code), reply.body
    if status == 422:
        assert reply.json["field"]
        assert reply.json["remedy"]
    if status == 405:
        assert reply.headers["Allow"] == "DELETE,GET,PUT"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "checkpoint"),
        ({"cell": ""}, "cell"),
        ({"cell": "x", "colour": 1}, "colour"),
        ({"instances": {"min": 3, "want": 2}}, "instances"),
        ({"instances": {"want": 0}}, "instances.want"),
        ({"inputs": ["1x"]}, "inputs.0.name"),
        ({"probe": {"fails": "often"}}, "probe.fails"),
        ({"instance_type": "enormous"}, "instance_type"),
        ({"checkpoint": "Not A Pin"}, "checkpoint"),
    ],
)
async def test_a_wrong_field_is_named_with_its_remedy(
    world: World, body: dict[str, Any], field: str
) -> None:
    spec = {**world.spec(), **body} if body else {"cell": "y = x"}
    reply = await world.client.ask("PUT", NODE, spec)
    assert (reply.status, reply.code, reply.json["field"]) == (422, "invalid-field", field)
    assert field.split(".")[0] in reply.json["detail"]
    assert reply.json["remedy"]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[1]", b"[" * 100_000, b"NaN"])
async def test_what_is_no_json_object_is_refused(world: World, body: bytes) -> None:
    reply = await world.client.ask("PUT", NODE, body)
    assert reply.code in ("invalid-json", "invalid-field"), reply.body
    assert reply.status in (400, 422)


async def test_other_media_types_and_needless_bodies_are_refused(world: World) -> None:
    spec = world.spec()
    reply = await world.client.ask("PUT", NODE, spec, Content_Type="text/yaml")
    assert (reply.status, reply.code) == (415, "unsupported-media-type")
    reply = await world.client.ask("POST", f"{NODE}:suspend", {"why": "night"})
    assert (reply.status, reply.json["field"]) == (422, "body")


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("Cellnode-Project", "Not A Name"),
        ("If-Match", "3"),
        ("If-Match", 'W/"3"'),
        ("If-None-Match", '"3"'),
        ("Idempotency-Key", "k" * 256),
        ("Cellnode-Actor", "a" * 257),
        ("Cellnode-Actor", "a" * 30_000),  # As long as the gateway passes one on.
    ],
)
async def test_a_wrong_header_is_named(world: World, header: str, value: str) -> None:
    reply = await world.client.ask("PUT", NODE, world.spec(), **{header: value})
    assert (reply.code, reply.json["field"]) == ("invalid-field", header)


async def test_a_body_that_no_record_can_hold_is_refused(world: World) -> None:
    env = {f"V{n}": "v" * 9_000 for n in range(120)}
    reply = await world.client.ask("PUT", NODE, world.spec(env=env))
    assert (reply.status, reply.code) == (413, "request-too-large")


@pytest.mark.parametrize(
    ("verb", "code"),
    [("suspend", "node-unknown"), ("recreate", "node-unknown"), ("reset", "not-built")],
)
async def test_the_bus_refusal_is_the_answer(world: World, verb: str, code: str) -> None:
    await world.apply("resettable", "?wait=ACCEPTED")
    node = "resettable" if code == "not-built" else "nobody"
    query = "" if verb == "reset" else "?wait=ACCEPTED"
    reply = await world.client.ask("POST", f"/v1/nodes/{node}:{verb}{query}")
    assert (reply.code, len(reply.json["command"])) == (code, 36)


async def test_a_name_that_is_leaving_is_busy(world: World) -> None:
    await world.made("busy")
    await world.client.ask("DELETE", "/v1/nodes/busy?wait=ACCEPTED")
    reply = await world.apply("busy", "?wait=ACCEPTED")
    assert (reply.status, reply.code) == (409, "name-busy")


async def test_of_two_who_saw_the_same_generation_one_wins(world: World) -> None:
    await world.apply("raced", "?wait=ACCEPTED")
    path = "/v1/nodes/raced?wait=ACCEPTED"
    bodies = [world.spec(cell=f"y = x * {n}") for n in range(2)]
    replies: list[Reply] = await asyncio.gather(
        *(world.client.ask("PUT", path, body, If_Match='"1"') for body in bodies)
    )
    assert sorted(reply.status for reply in replies) == [200, 412]
    lost = next(reply for reply in replies if reply.status == 412)
    assert (lost.code, lost.json["field"]) == ("precondition-failed", "If-Match")
    assert (await world.client.get("/v1/nodes/raced")).json["generation"] == 2


async def test_a_name_can_be_taken_only_if_it_is_free(world: World) -> None:
    path, spec = "/v1/nodes/free?wait=ACCEPTED", world.spec()
    taken = await world.client.ask("PUT", path, spec, If_None_Match="*")
    again = await world.client.ask("PUT", path, spec, If_None_Match="*")
    assert (taken.status, again.status, again.code) == (200, 412, "precondition-failed")


async def test_a_repeat_under_the_same_key_is_carried_out_once(world: World) -> None:
    path, spec = "/v1/nodes/keyed?wait=ACCEPTED", world.spec()
    first = await world.client.ask("PUT", path, spec, Idempotency_Key="deploy-7")
    moved = await world.apply("keyed", "?wait=ACCEPTED", cell="y = x + 1")
    again = await world.client.ask("PUT", path, spec, Idempotency_Key="deploy-7")
    assert (first.json["generation"], moved.json["generation"]) == (1, 2)
    assert (again.status, again.json["generation"]) == (200, 2)
    listed = (await world.client.get("/v1/commands?node=keyed")).json["commands"]
    assert [one["generation"] for one in listed] == [2, 1]


async def test_a_key_that_named_another_request_is_refused(world: World) -> None:
    key, path = "deploy-8", "/v1/nodes/reused"
    sent = await world.client.ask("PUT", path, world.spec(), Idempotency_Key=key)
    other = await world.client.ask("PUT", path, world.spec(cell="y = 1"), Idempotency_Key=key)
    assert (sent.status, other.status, other.code) == (202, 422, "idempotency-key-reused")
    elsewhere = await world.client.ask(
        "PUT", path, world.spec(cell="y = 1"), Idempotency_Key=key, Cellnode_Project="other"
    )
    assert elsewhere.status == 202


async def test_a_node_that_cannot_get_healthy_is_told_with_its_evidence(world: World) -> None:
    reply = await world.apply("broken", "?wait=HEALTHY&timeout_seconds=30", cell="y = (")
    assert (reply.status, reply.code) == (409, "node-unhealthy")
    assert reply.json["reason"] == "LOAD_FAILED"
    assert "SyntaxError" in reply.json["detail"]
    assert len(reply.json["command"]) == 36


class Slow:
    """A pinned value whose loading takes longer than the test waits."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (time.sleep, (20,))


async def test_a_wait_that_is_over_says_how_far_it_came(world: World) -> None:
    await world.made("slow")
    slow = await asyncio.to_thread(a_checkpoint, world.data, slow=Slow(), factor=3)
    reply = await world.apply("slow", "?wait=HEALTHY&timeout_seconds=0.5", checkpoint=slow)
    assert (reply.status, reply.code) == (504, "wait-timeout")
    assert "the node is" in reply.json["detail"]
    assert (await world.client.get(f"/v1/commands/{reply.json['command']}")).status == 200
