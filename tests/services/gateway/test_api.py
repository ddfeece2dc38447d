"""What is no call of a node goes to the api and back: whole, in order, unchanged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from schemas.views import WAIT_SECONDS_MAX
from services.gateway.settings import GatewaySettings
from tests.services.gateway.agents import echoes as runs
from tests.services.gateway.apis import TestApi, echoes, saying, serving, tells_events, waits
from tests.services.gateway.waiting import until
from tests.services.gateway.wire import Reply, request
from tests.services.gateway.world import World


@pytest.fixture
def settings(folder: Path) -> dict[str, Any]:
    return {
        "drain_idle_seconds": 0.0,
        "drain_seconds_max": 5.0,
        "api_url": f"unix:{folder}/api.sock",
        "api_requests_max": 5,
    }


@pytest.fixture
async def api(folder: Path) -> AsyncIterator[TestApi]:
    async with serving(TestApi(echoes), folder / "api.sock") as serves:
        yield serves


def asking(line: str, body: bytes = b"", *lines: str) -> bytes:
    head = [f"{line} HTTP/1.1", "Host: cell.test:8080", *lines]
    if body:
        head.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(head) + "\r\n\r\n").encode() + body


async def ask(world: World, line: str, body: bytes = b"", *lines: str) -> Reply:
    wire = await world.wire()
    await wire.send(asking(line, body, *lines))
    return await wire.reply()


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"])
async def test_every_method_path_query_and_body_passes(
    world: World, api: TestApi, method: str
) -> None:
    reply = await ask(world, f"{method} /v1/pins/a%2Fb?limit=2&after=%20", b"the body")
    assert (reply.status, reply.body) == (200, b"the body")
    assert reply.headers["x-extra"] == "kept"
    (seen,) = api.seen
    assert (seen.method, seen.target) == (method, "/v1/pins/a%2Fb?limit=2&after=%20")
    assert world.gauges["api_requests"] == 0


async def test_end_to_end_headers_pass_and_those_of_one_connection_do_not(
    world: World, api: TestApi
) -> None:
    lines = ['If-Match: "7"', "Accept: a/b", "Accept: c/d", "X-Hop: gone", "TE: trailers"]
    lines += ["Connection: keep-alive, X-Hop", "Keep-Alive: 5", "Proxy-Authorization: secret"]
    lines += ["Upgrade: h2c", "Cellnode-Project: mine"]
    await ask(world, "GET /v1/nodes", b"", *lines)
    (seen,) = api.seen
    assert seen.values("accept") == ["a/b", "c/d"]
    assert seen.values("if-match") == ['"7"']
    assert seen.values("cellnode-project") == ["mine"]
    assert seen.values("host") == ["cell.test:8080"]
    assert seen.values("connection") == ["close"]
    hop_by_hop = ("x-hop", "te", "keep-alive", "proxy-authorization", "upgrade")
    assert [seen.values(name) for name in hop_by_hop] == [[]] * 5


async def test_the_api_is_told_of_the_request_and_who_sent_it(world: World, api: TestApi) -> None:
    given = "Forwarded: for=10.1.1.1"
    reply = await ask(world, "GET /v1/nodes", b"", "X-Request-ID: mine-1", given)
    (seen,) = api.seen
    assert reply.headers["x-request-id"] == "mine-1"
    assert seen.values("x-request-id") == ["mine-1"]
    ours = 'for=127.0.0.1;proto=http;host="cell.test:8080"'
    assert seen.values("forwarded") == [f"for=10.1.1.1, {ours}"]
    assert (await ask(world, "GET /v1/nodes")).headers["x-request-id"] == api.seen[1].values(
        "x-request-id"
    )[0]


async def test_calls_and_requests_to_the_api_share_a_connection_in_their_order(
    world: World, api: TestApi
) -> None:
    await world.agents("digits", runs)
    wire = await world.wire()
    chunked = asking("PUT /c", b"", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n"
    whole = asking("PUT /d", b"body")
    await wire.send((request("digits", b"1") + chunked + whole + asking("GET /livez")) * 3)
    replies = [await wire.reply() for _ in range(12)]
    assert [one.body for one in replies] == [b"1", b"abc", b"body", b"live\n"] * 3
    assert [one.target for one in api.seen] == ["/c", "/d"] * 3


async def test_a_node_is_still_called_with_post_alone_and_never_by_the_api(
    world: World, api: TestApi
) -> None:
    for method in ("GET", "DELETE", "PUT", "HEAD"):
        wire = await world.wire()
        await wire.send(asking(f"{method} /v1/nodes/digits:execute"))
        assert (await wire.reply(to_head=True)).status == 405
    for page in ("/livez", "/readyz", "/metrics"):
        assert (await ask(world, f"GET {page}")).status == 200
    assert api.seen == []


async def test_answers_without_a_body_leave_the_connection_in_step(
    world: World, folder: Path
) -> None:
    wire = await world.wire()
    for status, line in ((200, "HEAD /v1/blobs/a"), (204, "DELETE /x"), (304, "GET /y")):
        raw = f'HTTP/1.1 {status} x\r\nContent-Length: 9\r\nETag: "1"\r\n\r\n'
        async with saying(raw.encode(), folder / "api.sock"):
            await wire.send(asking(line))
            reply = await wire.reply(to_head=True)
        assert (reply.status, reply.headers["etag"]) == (status, '"1"')
        assert ("content-length" in reply.headers) == (status != 204)
    await wire.send(asking("GET /livez"))
    assert (await wire.reply()).body == b"live\n"


async def test_a_client_of_http_1_0_gets_an_answer_that_ends_with_the_connection(
    world: World, api: TestApi, folder: Path
) -> None:
    wire = await world.wire()
    api.behave = tells_events
    await wire.send(b"GET /v1/events HTTP/1.0\r\n\r\n")
    reply = await wire.reply(to_head=True)
    assert reply.headers["connection"] == "close"
    assert await wire.reader.readexactly(18) == b"data: 0\n\ndata: 1\n\n"


class TestStreams:
    """Events come as they happen, and end when somebody leaves."""

    async def test_events_are_not_held_back(self, world: World, api: TestApi) -> None:
        api.behave = tells_events
        wire = await world.wire()
        await wire.send(asking("GET /v1/events"))
        reply = await wire.reply(to_head=True)
        assert reply.headers["transfer-encoding"] == "chunked"
        for n in range(5):
            assert b"data: %d\n" % n in await wire.reader.readuntil(b"\n\n\r\n")

    async def test_the_api_learns_at_once_that_a_client_has_gone(
        self, world: World, api: TestApi
    ) -> None:
        api.behave = waits(asyncio.Event())
        wire = await world.wire()
        await wire.send(asking("GET /v1/nodes?wait=HEALTHY"))
        await until(lambda: api.seen)
        wire.abort()
        await until(lambda: api.cancelled == 1, 1.0)
        assert world.gauges["api_requests"] == 0

    async def test_as_many_as_are_allowed_and_not_one_more(
        self, world: World, api: TestApi
    ) -> None:
        release = asyncio.Event()
        api.behave = waits(release)
        wires = [await world.wire() for _ in range(5)]
        for wire in wires:
            await wire.send(asking("GET /v1/events"))
        await until(lambda: len(api.seen) == 5)
        reply = await ask(world, "PUT /v1/pins/a", b"body")
        assert (reply.status, reply.code) == (503, "too-many-streams")
        assert "retry-after" in reply.headers
        release.set()
        assert [(await wire.reply()).body for wire in wires] == [b"at last"] * 5
        api.behave = echoes
        assert (await ask(world, "PUT /v1/pins/a", b"body")).body == b"body"


def test_a_wait_that_the_api_grants_is_never_cut_off() -> None:
    assert GatewaySettings().api_idle_seconds_max > WAIT_SECONDS_MAX


class TestPatience:
    @pytest.fixture
    def settings(self, folder: Path) -> dict[str, Any]:
        url = f"unix:{folder}/api.sock"
        return {"drain_idle_seconds": 0.0, "api_url": url, "api_idle_seconds_max": 0.2}

    async def test_where_nobody_sends_anything_the_wait_has_an_end(
        self, world: World, api: TestApi
    ) -> None:
        api.behave = waits(asyncio.Event())
        reply = await ask(world, "GET /v1/nodes?wait=HEALTHY")
        assert (reply.status, reply.code) == (502, "api-unavailable")
        await until(lambda: api.cancelled == 1)

    async def test_a_body_that_stands_still_is_a_408(self, world: World, api: TestApi) -> None:
        wire = await world.wire()
        await wire.send(asking("PUT /v1/blobs/a", b"", "Content-Length: 9") + b"half")
        assert (await wire.reply()).code == "request-timeout"
        assert await wire.is_closed()


class TestExpecting:
    """Who asks before sending a body is answered by the api."""

    async def test_a_wanted_body_is_asked_for_and_passes(self, world: World, api: TestApi) -> None:
        wire = await world.wire()
        lines = ["Expect: 100-continue", "Content-Length: 4"]
        await wire.send(asking("PUT /v1/blobs/a", b"", *lines))
        assert (await wire.reply()).status == 100
        await wire.send(b"blob")
        assert (await wire.reply()).body == b"blob"
        assert api.seen[0].body == b"blob"

    async def test_a_body_that_is_not_wanted_is_not_sent(self, world: World, folder: Path) -> None:
        raw = b"HTTP/1.1 409 x\r\nContent-Length: 2\r\n\r\nno"
        async with saying(raw, folder / "api.sock"):
            wire = await world.wire()
            lines = ["Expect: 100-continue", "Content-Length: 400000"]
            await wire.send(asking("PUT /v1/blobs/a", b"", *lines))
            reply = await wire.reply()
        assert (reply.status, reply.body) == (409, b"no")
        assert reply.headers["connection"] == "close"
        assert await wire.is_closed()


class TestWithoutApi:
    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"drain_idle_seconds": 0.0}

    async def test_other_paths_are_not_found(self, world: World) -> None:
        assert (await ask(world, "GET /v1/nodes")).code == "not-found"


async def test_a_stop_ends_streams_and_lets_requests_finish(world: World, api: TestApi) -> None:
    release = asyncio.Event()
    api.behave = tells_events
    events, waiting = await world.wire(), await world.wire()
    await events.send(asking("GET /v1/events"))
    await events.reply(to_head=True)
    api.behave = waits(release)
    await waiting.send(asking("GET /v1/nodes?wait=HEALTHY"))
    await until(lambda: len(api.seen) == 2)
    world.site.is_draining = True
    world.site.close_streams()
    assert (await asyncio.wait_for(events.reader.read(), 5)).endswith(b"\r\n0\r\n\r\n")
    release.set()
    reply = await waiting.reply()
    assert (reply.body, reply.headers["connection"]) == (b"at last", "close")
