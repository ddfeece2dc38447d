"""What a client may not do: every case ends in one refusal and a closed connection."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.services.gateway.agents import echoes, sleeps
from tests.services.gateway.waiting import until
from tests.services.gateway.wire import request
from tests.services.gateway.world import World

START = b"POST /v1/nodes/digits:execute HTTP/1.1\r\nHost: a\r\n"
CHUNKED = START + b"Transfer-Encoding: chunked\r\n\r\n"
MALFORMED = {
    "both lengths": START + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "both, swapped": START + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "two lengths": START + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "two other lengths": START + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "list of lengths": START + b"Content-Length: 3, 3\r\n\r\nabc",
    "signed length": START + b"Content-Length: +3\r\n\r\nabc",
    "negative length": START + b"Content-Length: -3\r\n\r\nabc",
    "hexadecimal length": START + b"Content-Length: 0x3\r\n\r\nabc",
    "empty length": START + b"Content-Length: \r\n\r\n",
    "huge length": START + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "bare line feeds": START.replace(b"\r\n", b"\n") + b"Content-Length: 0\n\n",
    "one bare line feed": START + b"X: y\nContent-Length: 0\r\n\r\n",
    "space before the colon": START + b"Content-Length : 3\r\n\r\nabc",
    "folded header": START + b"X: a\r\n b\r\n\r\n",
    "empty header name": START + b": a\r\n\r\n",
    "null in a header": START + b"X: a\x00b\r\n\r\n",
    "carriage return in a header": START + b"X: a\rb\r\n\r\n",
    "bad chunk size": CHUNKED + b"zz\r\n\r\n",
    "chunk longer than its size": CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n",
    "chunk with line feeds": CHUNKED + b"3\nabc\n0\n\n",
    "space behind the chunk size": CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n",
    "huge chunk": CHUNKED + b"fffffffffffffffff\r\nabc",
    "unknown coding": START + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "coding before chunked": START + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "coding behind chunked": START + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": CHUNKED[:-2] + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + b"0\r\n\r\n",
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "two hosts": START + b"Host: b\r\n\r\n",
    "HTTP/0.9": b"GET /livez\r\n\r\n",
    "HTTP/1.2": b"GET /livez HTTP/1.2\r\nHost: a\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "unknown method": b"BREW /livez HTTP/1.1\r\nHost: a\r\n\r\n",
    "connect": b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "upgrade": START + b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n",
    "two projects": START + b"Cellnode-Project: a\r\nCellnode-Project: b\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100,
}


@pytest.mark.parametrize("before", [b"", request("digits", b"before")], ids=["first", "second"])
@pytest.mark.parametrize("name", MALFORMED)
async def test_what_is_not_strict_http_is_refused_and_the_connection_closed(
    world: World, name: str, before: bytes
) -> None:
    (agent,) = await world.agents("digits", echoes)
    wire = await world.wire()
    await wire.send(before + MALFORMED[name] + request("digits", b"smuggled"))
    if before:
        assert (await wire.reply()).body == b"before"
    reply = await wire.reply()
    assert (reply.status, reply.code) == (400, "bad-request")
    assert reply.headers["connection"] == "close"
    assert await wire.is_closed()
    assert b"smuggled" not in agent.executed


TOO_LARGE = {
    "long path": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "many headers": (START + b"".join(b"X-%d: y\r\n" % n for n in range(200)) + b"\r\n", 431),
    "large header": (START + b"X: " + b"y" * 40_000 + b"\r\n\r\n", 431),
    "endless header": (START + b"X: " + b"y" * 400_000, 431),
    "endless header name": (START + b"x" * 400_000, 431),
    "endless empty lines": (b"\r\n" * 200_000, 431),
    "large trailers": (CHUNKED + b"0\r\nX: " + b"y" * 40_000 + b"\r\n\r\n", 431),
}


@pytest.mark.parametrize("name", TOO_LARGE)
async def test_every_part_of_a_head_has_a_limit(world: World, name: str) -> None:
    data, status = TOO_LARGE[name]
    wire = await world.wire()
    await wire.send(data)
    assert (await wire.reply()).status == status
    assert await wire.is_closed()


@pytest.mark.parametrize(
    "chunk", [b"1;%b\r\nx\r\n" % (b"e" * 5000), b"1\r\nx\r\n"], ids=["extensions", "tiny"]
)
async def test_framing_without_body_is_refused_after_a_while(world: World, chunk: bytes) -> None:
    (agent,) = await world.agents("digits", echoes)
    wire = await world.wire()
    await wire.send(CHUNKED)
    block = chunk * (65_536 // len(chunk))
    for _ in range(2 * 16 * 16 + 10):
        if wire.reader.at_eof() or world.site._measures.no_node.codes.total():
            break
        await wire.send(block)
        await asyncio.sleep(0)
    assert (await wire.reply()).status in (400, 413)
    assert agent.executed == []


class TestSlowness:
    """Each phase of a request has its time."""

    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {
            "drain_idle_seconds": 0.0,
            "idle_seconds_max": 0.2,
            "head_seconds_max": 0.2,
            "body_seconds_max": 0.2,
            "write_seconds_max": 0.2,
        }

    @pytest.mark.parametrize("data", [START, START[:5], START + b"Content-Length: 9\r\n\r\nab"])
    async def test_a_request_that_does_not_come_is_a_408(self, world: World, data: bytes) -> None:
        wire = await world.wire()
        await wire.send(data)
        reply = await wire.reply()
        assert (reply.status, reply.code) == (408, "request-timeout")
        assert await wire.is_closed()

    async def test_an_idle_connection_is_closed_without_a_word(self, world: World) -> None:
        wire = await world.wire()
        assert await wire.is_closed()

    async def test_who_does_not_read_is_cut_off(self, world: World) -> None:
        await world.agents("digits", echoes)
        wire = await world.wire()
        await wire.send(request("digits", b"x" * 2**24))
        await until(lambda: world.gauges["in_flight"])
        await until(lambda: not world.gauges["connections"])
        assert world.gauges["in_flight"] == 0

    async def test_a_call_may_take_longer_than_an_idle_connection(self, world: World) -> None:
        await world.agents("digits", sleeps(2.5))
        assert (await world.call("digits")).status == 200


async def test_other_clients_are_served_beside_a_thousand_dripping_ones(world: World) -> None:
    await world.agents("digits", echoes)
    dripping = [await world.wire() for _ in range(300)]
    for wire in dripping:
        await wire.send(START[:20])
    assert (await world.call("digits", b"still")).body == b"still"
    assert world.gauges["connections"] == 301


class TestConnections:
    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"drain_idle_seconds": 0.0, "connections_max": 3}

    async def test_one_connection_too_many_is_turned_away(self, world: World) -> None:
        wires = [await world.wire() for _ in range(3)]
        await until(lambda: world.gauges["connections"] == 3)
        one_more = await world.wire()
        assert (await one_more.reply()).status == 503
        await wires[0].close()
        await until(lambda: world.gauges["connections"] == 2)
        wire = await world.wire()
        await wire.send(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await wire.reply()).status == 200
