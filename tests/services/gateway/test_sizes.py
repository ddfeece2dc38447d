"""16 MiB each way: exactly that passes, one byte more is refused before it costs anything."""

from __future__ import annotations

from schemas.http import BODY_BYTES_MAX
from tests.services.gateway.agents import Agent, Asked, answer, echoes, says
from tests.services.gateway.wire import request
from tests.services.gateway.world import World

WHOLE = b"x" * BODY_BYTES_MAX
START = b"POST /v1/nodes/digits:execute HTTP/1.1\r\nHost: a\r\n"


async def test_the_largest_request_and_answer_pass(world: World) -> None:
    (agent,) = await world.agents("digits", echoes)
    reply = await world.call("digits", WHOLE)
    assert reply.body == WHOLE
    assert agent.executed == [WHOLE]
    assert world.gauges["held_bytes"] == 0


async def test_one_byte_more_is_refused_before_it_is_sent(world: World) -> None:
    (agent,) = await world.agents("digits", echoes)
    wire = await world.wire()
    await wire.send(START + b"Content-Length: %d\r\n\r\n" % (BODY_BYTES_MAX + 1))
    reply = await wire.reply()
    assert (reply.status, reply.code) == (413, "request-too-large")
    assert agent.asked == []


async def test_who_sends_too_much_all_the_same_still_reads_the_refusal(world: World) -> None:
    await world.agents("digits", echoes)
    wire = await world.wire()
    await wire.send(request("digits", WHOLE + b"x"))
    assert (await wire.reply()).status == 413


async def test_chunks_are_counted_and_the_largest_request_passes_in_them(world: World) -> None:
    (agent,) = await world.agents("digits", echoes)
    chunk = b"100000\r\n" + WHOLE[: 2**20] + b"\r\n"
    wire = await world.wire()
    await wire.send(START + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 16 + b"0\r\n\r\n")
    assert (await wire.reply()).body == WHOLE
    await wire.send(START + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 16 + b"1\r\nx\r\n")
    assert (await wire.reply()).code == "request-too-large"
    assert len(agent.executed) == 1


async def test_an_answer_of_one_byte_more_is_a_500_before_the_first_byte(world: World) -> None:
    await world.agents("digits", says(b""))
    (agent,) = await world.agents("large", echoes)
    head = b"HTTP/1.1 200 OK\r\nCellnode-Instance: {instance}\r\nContent-Length: %d\r\n\r\n"
    agent.behave = says(head % (BODY_BYTES_MAX + 1) + b"x" * 1000)
    reply = await world.call("large")
    assert (reply.status, reply.code) == (500, "response-too-large")
    agent.behave = echoes
    assert (await world.call("large", b"again")).body == b"again"


async def test_a_body_is_asked_for_only_when_it_is_wanted(world: World) -> None:
    await world.agents("digits", echoes)
    wire = await world.wire()
    await wire.send(START + b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    assert (await wire.reply()).status == 100
    await wire.send(b"body")
    assert (await wire.reply()).body == b"body"
    elsewhere = START.replace(b"digits:execute", b"digits")
    await wire.send(elsewhere + b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n")
    assert (await wire.reply()).status == 404
    wire = await world.wire()
    too_large = b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % (BODY_BYTES_MAX + 1)
    await wire.send(START + too_large)
    assert (await wire.reply()).status == 413


async def test_a_large_answer_does_not_hold_up_small_ones(world: World) -> None:
    (agent,) = await world.agents("digits", echoes)

    async def by_size(agent: Agent, asked: Asked) -> bytes:
        return answer(agent, WHOLE if asked.body == b"large" else asked.body)

    agent.behave = by_size
    slow_reader = await world.wire()
    await slow_reader.send(request("digits", b"large"))
    replies = [await world.call("digits", b"%d" % n) for n in range(20)]
    assert [reply.body for reply in replies] == [b"%d" % n for n in range(20)]
    assert (await slow_reader.reply()).body == WHOLE
