"""A call from the client's side: what comes back, and what goes on to the instance."""

from __future__ import annotations

import asyncio

from schemas.statuses import InstanceStatus, NodeStatus
from tests.builders import a_node
from tests.services.gateway.agents import Agent, Asked, answer, echoes, says, sleeps
from tests.services.gateway.waiting import until
from tests.services.gateway.wire import request
from tests.services.gateway.world import World

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_a_call_reaches_an_instance_and_its_answer_comes_back(world: World) -> None:
    (agent,) = await world.agents("digits", echoes)
    reply = await world.call("digits", b'{"input":{"x":1}}', X_Request_ID="abc-1")
    assert (reply.status, reply.body) == (200, b'{"input":{"x":1}}')
    assert reply.headers["x-request-id"] == "abc-1"
    assert reply.headers["cellnode-execution-us"] == "50"
    (asked,) = agent.asked
    assert asked.line == "POST /execute HTTP/1.1"
    assert asked.headers["cellnode-instance"] == agent.instance
    assert asked.headers["cellnode-errors"] == "full"
    assert asked.headers["x-request-id"] == "abc-1"
    assert 59_000 < int(asked.headers["cellnode-timeout-ms"]) <= 60_000


async def test_headers_that_are_not_for_the_instance_stop_at_the_gateway(world: World) -> None:
    (agent,) = await world.agents("digits", echoes)
    await world.call("digits", Cookie="secret", Connection="keep-alive", traceparent=TRACE)
    headers = agent.asked[0].headers
    assert "cookie" not in headers
    assert "connection" not in headers
    assert headers["traceparent"] == TRACE


async def test_blanks_after_a_header_are_no_part_of_its_value(world: World) -> None:
    """RFC 9112, 5: optional whitespace may follow."""
    (agent,) = await world.agents("digits", echoes)
    reply = await world.call("digits", X_Request_ID="abc-1 \t", X_Request_Timeout="1.5 ")
    assert (reply.status, reply.headers["x-request-id"]) == (200, "abc-1")
    assert int(agent.asked[0].headers["cellnode-timeout-ms"]) <= 1_500


async def test_a_request_id_that_is_none_is_replaced(world: World) -> None:
    await world.agents("digits", echoes)
    reply = await world.call("digits", X_Request_ID="not an id!")
    assert reply.headers["x-request-id"] != "not an id!"


async def test_the_error_of_a_cell_is_passed_on_as_it_is(world: World) -> None:
    async def raises(agent: Agent, asked: Asked) -> bytes:
        extra = "Cellnode-Error: cell\r\nServer: x\r\nConnection: keep-alive\r\n"
        return answer(agent, b'{"code":"cell-error"}', status="500 Internal", extra=extra)

    await world.agents("digits", raises)
    reply = await world.call("digits")
    assert (reply.status, reply.headers["cellnode-error"]) == (500, "cell")
    assert "server" not in reply.headers
    assert "connection" not in reply.headers


async def test_names_that_nobody_has_are_404_and_other_paths_too(world: World) -> None:
    assert (await world.call("nobody")).code == "node-unknown"
    wire = await world.wire()
    await wire.send(b"GET /v1/elsewhere HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (await wire.reply()).code == "not-found"
    await wire.send(b"GET /v1/nodes/digits:execute HTTP/1.1\r\nHost: a\r\n\r\n")
    reply = await wire.reply()
    assert (reply.status, reply.headers["allow"]) == (405, "POST")


async def test_a_project_is_named_by_a_header(world: World) -> None:
    await world.agents("digits", echoes)
    assert (await world.call("digits", Cellnode_Project="default")).status == 200
    assert (await world.call("digits", Cellnode_Project="other")).code == "node-unknown"


async def test_a_node_without_healthy_instances_says_when_to_come_again(world: World) -> None:
    node = world.projecting.serve("digits", [])
    world.projecting.put_instance(node, 1, "unix:/tmp/x", InstanceStatus.PREPARING)
    await world.routed(node, 0)
    reply = await world.call("digits")
    assert (reply.status, reply.code) == (503, "no-healthy-instance")
    assert reply.headers["retry-after"] == "1"
    assert reply.headers["cellnode-not-executed"] == "true"


async def test_a_node_being_deleted_refuses_at_once_and_then_is_unknown(world: World) -> None:
    await world.agents("digits", echoes)
    world.projecting.put_node_status(a_node("digits"), NodeStatus.DELETING)
    await world.routed(a_node("digits"), 0)
    assert (await world.call("digits")).status == 410
    world.projecting.bury_node(a_node("digits"))
    await until(lambda: world.endpoints("default/digits") is None)
    assert (await world.call("digits")).status == 404


async def test_a_suspended_node_refuses_with_a_remedy_and_finishes_what_was_sent(
    world: World,
) -> None:
    (agent,) = await world.agents("digits", sleeps(0.5))
    wire, node = await world.wire(), a_node("digits")
    under_way = asyncio.ensure_future(wire.call("digits"))
    await until(lambda: agent.asked)
    world.projecting.put_node(node.model_copy(update={"suspended": True}))
    await world.routed(node, 0)
    refused = await world.call("digits")

    assert (refused.status, refused.code) == (503, "node-suspended")
    assert "cellnode resume" in refused.problem["remedy"]
    assert refused.headers["cellnode-not-executed"] == "true"
    assert "retry-after" not in refused.headers
    assert (await under_way).status == 200
    world.projecting.put_node(node)
    await world.routed(node, 1)


async def test_a_deadline_ends_in_504_and_the_work_is_cancelled(world: World) -> None:
    (agent,) = await world.agents("digits", sleeps(30), deadline_seconds=0.2)
    loop = asyncio.get_running_loop()
    began = loop.time()
    reply = await world.call("digits")
    assert (reply.status, reply.code) == (504, "deadline-exceeded")
    assert 0.2 <= loop.time() - began < 0.5
    await until(lambda: agent.cancelled == 1)
    assert world.gauges["in_flight"] == 0


async def test_a_caller_may_lower_the_deadline_but_not_with_nonsense(world: World) -> None:
    (agent,) = await world.agents("digits", echoes)
    await world.call("digits", X_Request_Timeout="1.5")
    assert int(agent.asked[0].headers["cellnode-timeout-ms"]) <= 1500
    for nonsense in ("0", "-1", "soon", "1e3", "nan"):
        reply = await world.call("digits", X_Request_Timeout=nonsense)
        assert (reply.status, reply.code) == (400, "bad-request")


async def test_a_client_that_goes_away_frees_the_instance(world: World) -> None:
    (agent,) = await world.agents("digits", sleeps(30))
    wire = await world.wire()
    await wire.send(request("digits"))
    await until(lambda: agent.running == 1)
    wire.abort()
    await until(lambda: agent.cancelled == 1 and not world.gauges["in_flight"])
    assert world.gauges["held_bytes"] == 0


async def test_pipelined_calls_are_answered_in_order(world: World) -> None:
    await world.agents("digits", echoes, echoes)
    wire = await world.wire()
    bodies = [b"%d" % n for n in range(200)]
    await wire.send(b"".join(request("digits", body) for body in bodies))
    assert [(await wire.reply()).body for _ in bodies] == bodies


async def test_an_answer_without_a_known_length_is_passed_on_in_chunks(world: World) -> None:
    head = b"HTTP/1.1 200 OK\r\nCellnode-Instance: {instance}\r\nTransfer-Encoding: chunked\r\n\r\n"
    small = head + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    large = head + b"".join(b"%x\r\n%b\r\n" % (9000, b"z" * 9000) for _ in range(20)) + b"0\r\n\r\n"
    await world.agents("small", says(small))
    await world.agents("large", says(large))
    assert (await world.call("small")).body == b"abcde"
    assert (await world.call("large")).body == b"z" * 180_000


async def test_its_own_pages_are_on_the_same_port(world: World) -> None:
    wire = await world.wire()
    for page in (b"/livez", b"/readyz", b"/metrics"):
        await wire.send(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % page)
        assert (await wire.reply()).status == 200
    await wire.send(b"HEAD /livez HTTP/1.1\r\nHost: a\r\n\r\n")
    reply = await wire.reply(to_head=True)
    assert (reply.status, reply.headers["content-length"]) == (200, "5")
    await wire.send(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
    text = (await wire.reply()).body.decode()
    assert 'cellnode_gateway_requests_total{node="",code="200"} 4' in text
    assert "cellnode_gateway_projection_age_seconds" in text
