"""The real process: it waits for the projection, takes a socket over, and drains."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from redis import Redis

from benchmarks.gateway_load import Balancer, Load
from services.gateway.draining import let_nobody_in
from tests.builders import a_node
from tests.servers.process import listens
from tests.servers.service import ServiceProcess
from tests.services.gateway.agents import Agent, echoes, listening, sleeps
from tests.services.gateway.projecting import Projecting
from tests.services.gateway.waiting import until
from tests.services.gateway.wire import Wire, request
from tests.services.gateway.world import World

START_SECONDS_MAX = 40.0  # On a machine that does much else.
ROOT = Path(__file__).resolve().parents[3]


@contextmanager
def process(
    redis_url: str, listener: socket.socket, **given: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A gateway that was handed this listening socket."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "REDIS_URL": redis_url,
        "CELLNODE_GATEWAY_SOCKET_FD": str(listener.fileno()),
        **given,
    }
    # Its log goes to pytest's file: a pipe that nobody reads fills up, and stops who writes.
    running = subprocess.Popen(
        [sys.executable, "-P", "-m", "services.gateway"],
        env=environment,
        pass_fds=[listener.fileno()],
    )
    try:
        yield running
    finally:
        running.kill()
        running.wait()


@pytest.fixture
async def served(redis_url: str, folder: Path) -> AsyncIterator[Agent]:
    """The one instance of the node `digits`, as the projection has it."""
    agent = Agent(a_node("digits").instance_id(1), folder / "1", echoes)
    with Redis.from_url(redis_url) as redis:
        projecting = Projecting(redis)
        projecting.publish_empty()
        projecting.serve("digits", [agent.url])
        async with listening(agent):
            yield agent


def address_of(listener: socket.socket) -> str:
    return f"127.0.0.1:{listener.getsockname()[1]}"


async def get(address: str, page: str) -> int:
    wire = await Wire.to(address)
    await wire.send(f"GET {page} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    status = (await wire.reply()).status
    await wire.close()
    return status


async def until_alive(address: str) -> None:
    wire = await Wire.to(address)
    await wire.send(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n")
    async with asyncio.timeout(START_SECONDS_MAX):
        await wire.reader.readuntil(b"live\n")
    await wire.close()


async def ready(address: str) -> None:
    await until_alive(address)
    status = 0
    async with asyncio.timeout(START_SECONDS_MAX):
        while status != 200:
            status = await get(address, "/readyz")
            await asyncio.sleep(0.01)


async def test_before_every_partition_was_seen_nothing_is_unknown(
    redis_url: str, listener: socket.socket
) -> None:
    address = address_of(listener)
    with process(redis_url, listener), Redis.from_url(redis_url) as redis:
        await until_alive(address)
        wire = await Wire.to(address)
        reply = await wire.call("digits")
        assert (reply.status, reply.code) == (503, "starting")
        assert await get(address, "/livez") == 200
        assert await get(address, "/readyz") == 503
        Projecting(redis).publish_empty()
        await ready(address)
        assert (await wire.call("digits")).status == 404
        await wire.close()


async def test_a_misspelt_setting_stops_the_start_and_is_named(
    redis_url: str, listener: socket.socket, capfd: pytest.CaptureFixture[str]
) -> None:
    with process(redis_url, listener, CELLNODE_GATEWAY_DRAIN_SECOND_MAX="1") as running:
        assert running.wait(START_SECONDS_MAX) == 2
    assert "did you mean CELLNODE_GATEWAY_DRAIN_SECONDS_MAX" in capfd.readouterr().err


@pytest.mark.full
async def test_restarts_under_load_fail_no_call_and_refuse_no_connection(
    redis_url: str, listener: socket.socket, served: Agent
) -> None:
    """Half of the clients keep their connection, half make a new one for each call."""
    address, statuses = address_of(listener), list[int]()
    served.behave = sleeps(0.002)
    with process(redis_url, listener) as first, process(redis_url, listener) as second:
        await ready(address)
        callers = [asyncio.create_task(calling(address, n % 2, statuses)) for n in range(8)]
        for leaving in (first, second):
            await until(partial(more_than, len(statuses) + 300, statuses))
            if leaving is first:
                leaving.send_signal(signal.SIGTERM)
                await until(lambda: first.poll() is not None)
        await stopped(callers)
    assert first.returncode == 0
    assert set(statuses) == {200}


def more_than(count: int, statuses: list[int]) -> bool:
    return len(statuses) > count


async def calling(address: str, keeps: int, statuses: list[int]) -> None:
    """A connection is used until it is told to close it, as HTTP has it; failures are counted."""
    while True:
        wire = await Wire.to(address)
        goes_on = True
        try:
            while goes_on:
                reply = await wire.call("digits")
                statuses.append(reply.status)
                goes_on = bool(keeps) and reply.headers.get("connection") != "close"
        except (OSError, EOFError):
            statuses.append(0)
        finally:
            await wire.close()


async def stopped(callers: list[asyncio.Task[None]]) -> None:
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)


async def test_what_is_under_way_is_finished_before_the_end(
    redis_url: str, listener: socket.socket, served: Agent
) -> None:
    served.behave = sleeps(1.5)
    with process(redis_url, listener) as running:
        await ready(address_of(listener))
        wire = await Wire.to(address_of(listener))
        await wire.send(request("digits", b"slow"))
        await until(lambda: served.running == 1)
        running.send_signal(signal.SIGTERM)
        reply = await wire.reply()
        assert (reply.status, reply.body) == (200, b"slow")
        assert reply.headers["connection"] == "close"
        await wire.close()
        await until(lambda: running.poll() is not None)
    assert running.returncode == 0


@pytest.mark.full
async def test_an_address_of_its_own_is_opened_once_the_projection_was_seen(
    redis_url: str,
) -> None:
    """A balancer that knows only who takes connections must not be told 503."""
    running = ServiceProcess("gateway", {"REDIS_URL": redis_url})
    starting = asyncio.create_task(asyncio.to_thread(running.start))
    try:
        await asyncio.sleep(3)
        assert not listens(running.port)
        with Redis.from_url(redis_url) as redis:
            Projecting(redis).publish_empty()
        await starting
        assert running.is_ready()
    finally:
        await asyncio.gather(starting, return_exceptions=True)
        running.remove()


@contextmanager
def on_its_own(redis_url: str, **given: str) -> Iterator[ServiceProcess]:
    """A gateway that opens its address itself, as one in a container does."""
    with ServiceProcess("gateway", {"REDIS_URL": redis_url, **given}) as running:
        running.until_ready()
        yield running


@pytest.mark.full
async def test_who_has_just_connected_is_answered_though_the_gateway_leaves(
    redis_url: str, served: Agent
) -> None:
    """A balancer connects before its client has said anything."""
    with on_its_own(redis_url, CELLNODE_GATEWAY_DRAIN_IDLE_SECONDS="1.5") as running:
        running.terminate()
        await asyncio.sleep(1.0)
        wire = await Wire.to(running.address)
        await asyncio.sleep(0.8)
        reply = await wire.call("digits")
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        assert not listens(running.port)
        await wire.close()
        await until(lambda: not running.is_running)
        assert running.exit_code == 0


@pytest.mark.full
async def test_restarts_behind_a_plain_balancer_fail_no_request(
    redis_url: str, served: Agent
) -> None:
    """It knows only who takes connections; the load sends nothing again."""
    with on_its_own(redis_url) as first, on_its_own(redis_url) as second:
        balancer = Balancer([first.port, second.port])
        with balancer, Load(balancer.port, "digits", 150) as load:
            for leaving in (first, second, first):
                await asyncio.sleep(1)
                assert await asyncio.to_thread(restarted, leaving) == 0
            told = await asyncio.to_thread(load.ended)
    assert (told["failed"], told["failures"]) == (0, [])
    assert told["requests"] > 500


def restarted(gateway: ServiceProcess) -> int | None:
    """Its exit code; another one is there then."""
    gateway.terminate()
    gateway.wait()
    code = gateway.exit_code
    gateway.start()
    gateway.until_ready()
    return code


def test_who_waits_in_the_kernel_is_taken_and_who_comes_later_refused(
    listener: socket.socket,
) -> None:
    address = listener.getsockname()
    waiting = socket.create_connection(address)
    let_nobody_in(listener)
    waiting.sendall(b"said before it was taken")
    taken, _ = listener.accept()
    assert taken.recv(100) == b"said before it was taken"
    later = socket.socket()
    later.setblocking(False)
    assert later.connect_ex(address) == errno.EINPROGRESS
    assert select.select([], [later], [], 0.2)[1] == []
    for one in (waiting, taken, later):
        one.close()


async def test_a_request_that_lies_in_the_kernel_keeps_its_connection(world: World) -> None:
    await world.agents("digits", echoes)
    wire = await world.wire()
    assert (await wire.call("digits")).status == 200
    (client,) = [one for one in world.site.clients if one.is_idle]
    os.write(wire.writer.get_extra_info("socket").fileno(), request("digits", b"late"))
    client.close_idle(0.0)  # Before the loop has looked.
    assert (await wire.reply()).body == b"late"
    client.close_idle(0.0)
    assert await wire.is_closed()


async def test_without_clients_it_stops_at_once(redis_url: str, listener: socket.socket) -> None:
    with Redis.from_url(redis_url) as redis:
        Projecting(redis).publish_empty()
        with process(redis_url, listener) as running:
            await ready(address_of(listener))
            running.send_signal(signal.SIGTERM)
            await until(lambda: running.poll() is not None, 2.0)
    assert running.returncode == 0
