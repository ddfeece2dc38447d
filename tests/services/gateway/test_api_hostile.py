"""What neither client nor api may do through the gateway: smuggle, flood, or vanish unseen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.services.gateway.apis import Seen, TestApi, echoes, saying, serving
from tests.services.gateway.test_hostile_clients import MALFORMED, TOO_LARGE
from tests.services.gateway.waiting import until
from tests.services.gateway.world import World

MIB = 2**20
START = b"PUT /v1/blobs/a HTTP/1.1\r\nHost: a\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture
def settings(folder: Path) -> dict[str, Any]:
    return {"drain_idle_seconds": 0.0, "api_url": f"unix:{folder}/api.sock"}


@pytest.fixture
async def api(folder: Path) -> AsyncIterator[TestApi]:
    async with serving(TestApi(echoes), folder / "api.sock") as serves:
        yield serves


def to_the_api(raw: bytes) -> bytes:
    return raw.replace(b"/v1/nodes/digits:execute", b"/v1/blobs/a").replace(b"/livez", b"/v1/x")


@pytest.mark.parametrize("before", [b"", START + b"Content-Length: 6\r\n\r\nbefore"])
@pytest.mark.parametrize("name", MALFORMED)
async def test_no_framing_with_two_meanings_is_ever_passed_on(
    world: World, api: TestApi, name: str, before: bytes
) -> None:
    wire = await world.wire()
    await wire.send(before + to_the_api(MALFORMED[name]) + SMUGGLED)
    if before:
        assert (await wire.reply()).body == b"before"
    assert (await wire.reply()).code == "bad-request"
    assert await wire.is_closed()
    await until(lambda: not world.gauges["api_requests"])
    assert [one.target for one in api.seen if one.is_whole] == ["/v1/blobs/a"] * bool(before)
    assert "/smuggled" not in [one.target for one in api.seen]


@pytest.mark.parametrize("name", TOO_LARGE)
async def test_heads_have_the_same_limits_on_the_way_to_the_api(
    world: World, api: TestApi, name: str
) -> None:
    data, status = TOO_LARGE[name]
    wire = await world.wire()
    await wire.send(to_the_api(data))
    assert (await wire.reply()).status == status
    assert not [one for one in api.seen if one.is_whole]


async def test_what_looks_like_a_request_inside_a_body_stays_a_body(
    world: World, api: TestApi
) -> None:
    wire = await world.wire()
    length = b"Content-Length: %d\r\n\r\n" % len(SMUGGLED)
    chunked = b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\nX-Trailer: 1\r\n\r\n"
    await wire.send(START + length + SMUGGLED)
    await wire.send(START + chunked % (len(SMUGGLED), SMUGGLED))
    await wire.send(START.replace(b"PUT", b"GET") + length + SMUGGLED)
    assert [(await wire.reply()).body for _ in range(3)] == [SMUGGLED] * 3
    assert [one.target for one in api.seen] == ["/v1/blobs/a"] * 3
    assert not any(one.values("x-trailer") for one in api.seen)


@pytest.mark.parametrize("target", [b"*", b"/a#b", b"/a\x80b", b"/a\tb", b"https://x/y"])
async def test_a_target_that_is_no_path_is_refused(
    world: World, api: TestApi, target: bytes
) -> None:
    wire = await world.wire()
    await wire.send(b"OPTIONS %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)
    assert (await wire.reply()).code == "bad-request"
    assert api.seen == []


async def test_an_absolute_target_becomes_a_path(world: World, api: TestApi) -> None:
    wire = await world.wire()
    await wire.send(b"GET http://other/v1/nodes?a=b HTTP/1.1\r\nHost: a\r\n\r\n")
    assert (await wire.reply()).status == 200
    assert api.seen[0].target == "/v1/nodes?a=b"


BROKEN = {
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    "length and coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
    b"Content-Length: 2\r\n\r\n0\r\n\r\n",
    "unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "another protocol": b"HTTP/1.1 101 OK\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "no HTTP": b"hello\r\n\r\n",
    "nothing": b"",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "interims without end": b"HTTP/1.1 102 x\r\n\r\n" * 20,
    "endless head": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000,
    "many headers": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500 + b"\r\n",
}


@pytest.mark.parametrize("name", BROKEN)
async def test_an_answer_that_cannot_be_passed_on_is_a_502(
    world: World, folder: Path, name: str
) -> None:
    async with saying(BROKEN[name], folder / "api.sock"):
        wire = await world.wire()
        await wire.send(b"GET /v1/nodes HTTP/1.1\r\nHost: a\r\n\r\n")
        reply = await wire.reply()
    assert (reply.status, reply.code) == (502, "api-unavailable")
    assert reply.headers["retry-after"] == "1"


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ],
)
async def test_an_answer_that_breaks_off_is_never_taken_for_whole(
    world: World, folder: Path, raw: bytes
) -> None:
    async with saying(raw, folder / "api.sock"):
        wire = await world.wire()
        await wire.send(b"GET /v1/nodes HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await wire.reply(to_head=True)).status == 200
        with suppress(ConnectionError):  # Cut off, however the kernel tells it.
            assert b"0\r\n\r\n" not in await asyncio.wait_for(wire.reader.read(), 15)


async def test_without_an_api_the_gateway_says_so_and_calls_go_on(world: World) -> None:
    wire = await world.wire()
    await wire.send(START + b"Content-Length: 400000\r\n\r\n" + b"x" * 400_000)
    reply = await wire.reply()
    assert (reply.status, reply.code) == (502, "api-unavailable")
    assert (await world.call("unknown")).code == "node-unknown"


async def test_what_comes_behind_an_answer_is_nobodys(world: World, folder: Path) -> None:
    second = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond"
    async with saying(
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" + second, folder / "api.sock"
    ):
        wire = await world.wire()
        await wire.send(b"GET /v1/nodes HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await wire.reply()).body == b""
        await wire.send(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await wire.reply()).body == b"live\n"


async def test_an_api_that_reads_slowly_holds_up_its_client(world: World, api: TestApi) -> None:
    """Else the gateway would hold what lies between them."""
    goes_on = asyncio.Event()

    async def reads_later(api: TestApi, request: web.Request, seen: Seen) -> web.StreamResponse:
        await goes_on.wait()
        count = sum([len(part) async for part in request.content.iter_any()])
        return web.Response(text=str(count))

    api.behave = reads_later
    wire = await world.wire()
    await wire.send(START + b"Content-Length: %d\r\n\r\n" % (64 * MIB))
    sending = asyncio.create_task(wire.send(b"x" * (64 * MIB)))
    await until(lambda: _stands_still(world))
    assert not sending.done()
    assert _passed_on(world) < 4 * MIB
    goes_on.set()
    assert (await wire.reply()).body == b"%d" % (64 * MIB)
    await sending


def _passed_on(world: World) -> int:
    return sum(tunnel.call.size for tunnel in world.site._api.open) if world.site._api else 0


def _stands_still(world: World) -> bool:
    return any(client._holders for client in world.site.clients)


async def test_a_client_that_reads_slowly_holds_up_the_api(world: World, api: TestApi) -> None:
    written = received = 0

    async def writes(api: TestApi, request: web.Request, seen: Seen) -> web.StreamResponse:
        nonlocal written
        answer = web.StreamResponse()
        await answer.prepare(request)
        for _ in range(32):
            await answer.write(b"x" * MIB)
            written += MIB
        return answer

    api.behave = writes
    wire = await world.wire()
    await wire.send(b"GET /v1/blobs/a HTTP/1.1\r\nHost: a\r\n\r\n")
    await wire.reply(to_head=True)
    await until(lambda: any(client.is_write_paused for client in world.site.clients))
    assert written < 24 * MIB
    async with asyncio.timeout(15):
        while size := int(await wire.reader.readline(), 16):
            await wire.reader.readexactly(size + 2)
            received += size
    assert received == 32 * MIB


async def test_a_client_that_leaves_in_the_middle_of_its_body_leaves_nothing(
    world: World, api: TestApi
) -> None:
    wire = await world.wire()
    await wire.send(START + b"Content-Length: 100\r\n\r\nhalf")
    await until(lambda: api.seen)
    wire.abort()
    await until(lambda: not world.gauges["api_requests"])
    await until(lambda: api.cancelled == 1)
    assert not api.seen[0].is_whole
