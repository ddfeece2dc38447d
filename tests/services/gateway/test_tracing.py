"""Every call has a trace id: the caller's, or that of its request; nothing is recorded for it."""

from __future__ import annotations

import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from schemas.http import trace_id_of
from tests.services.gateway.agents import Agent, echoes, listening
from tests.services.gateway.apis import TestApi, serving
from tests.services.gateway.apis import echoes as answers
from tests.services.gateway.projecting import Projecting
from tests.services.gateway.test_process import address_of, process, ready
from tests.services.gateway.waiting import until
from tests.services.gateway.wire import Wire
from tests.services.gateway.world import World

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
STOP_SECONDS_MAX = 8.0
BROKEN = ["", "00-zz-1-01", f"00-{'0' * 32}-b7ad6b7169203331-01", PARENT.upper(), "x" * 5000]


@pytest.fixture
def settings(folder: Path) -> dict[str, Any]:
    return {"drain_idle_seconds": 0.0, "api_url": f"unix:{folder}/api.sock"}


@pytest.fixture
async def api(folder: Path) -> AsyncIterator[TestApi]:
    async with serving(TestApi(answers), folder / "api.sock") as serves:
        yield serves


async def test_the_callers_trace_goes_on_to_the_instance(world: World) -> None:
    (agent,) = await world.agents("digits", echoes)
    await world.call("digits", traceparent=PARENT, tracestate="vendor=1")
    headers = agent.asked[0].headers
    assert (headers["traceparent"], headers["tracestate"]) == (PARENT, "vendor=1")


async def test_an_error_answer_names_the_trace(world: World) -> None:
    reply = await world.call("unknown", traceparent=PARENT)
    assert reply.problem["trace_id"] == TRACE
    reply = await world.call("unknown", X_Request_ID="mine-1")
    assert reply.problem["trace_id"] == trace_id_of(b"mine-1")


@pytest.mark.parametrize("broken", BROKEN)
async def test_a_broken_trace_is_not_gone_on_with(world: World, api: TestApi, broken: str) -> None:
    (agent,) = await world.agents("digits", echoes)
    await world.call("digits", traceparent=broken, tracestate="vendor=1")
    assert "traceparent" not in agent.asked[0].headers
    assert "tracestate" not in agent.asked[0].headers


async def test_a_request_to_the_api_always_has_one_trace(world: World, api: TestApi) -> None:
    wire = await world.wire()
    head = b"GET /v1/nodes HTTP/1.1\r\nHost: a\r\nX-Request-ID: mine-1\r\n"
    await wire.send(head + b"\r\n" + head + b"traceparent: %b\r\n\r\n" % PARENT.encode())
    assert [(await wire.reply()).status for _ in range(2)] == [200, 200]
    made, given = (one.values("traceparent") for one in api.seen)
    assert (made[0][3:35], made[0][-2:], len(made)) == (trace_id_of(b"mine-1"), "00", 1)
    assert given == [PARENT]


@pytest.mark.full
async def test_a_collector_that_hangs_fails_no_call_and_holds_up_no_stop(
    redis_url: str, listener: socket.socket, projecting: Projecting, folder: Path
) -> None:
    hanging = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{hanging.getsockname()[1]}"
    agent = Agent("digits", folder / "1", echoes)
    node = projecting.serve("digits", [agent.url])
    agent.instance = node.instance_id(1)
    with hanging, process(redis_url, listener, OTEL_EXPORTER_OTLP_ENDPOINT=url) as running:
        async with listening(agent):
            await ready(address_of(listener))
            wire = await Wire.to(address_of(listener))
            statuses = {(await wire.call("digits")).status for _ in range(3000)}
            await wire.close()
        running.send_signal(signal.SIGTERM)
        await until(lambda: running.poll() is not None, STOP_SECONDS_MAX)
    assert (statuses, running.returncode) == ({200}, 0)
    assert "traceparent" in agent.asked[0].headers
