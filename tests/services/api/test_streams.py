"""Streams at their limits: too slow, too late, too many, through a table that is written anew."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from schemas.statuses import NodeStatus
from tests.services.api.listening import history, listening
from tests.services.api.telling import Teller, a_status, an_instance_status, telling
from tests.services.api.world import World, api, eventually

UNHEALTHY = NodeStatus.UNHEALTHY
KEPT = 100


@pytest.fixture
async def teller(kafka: str) -> AsyncIterator[Teller]:
    async with telling(kafka) as one:
        yield one


@pytest.fixture
async def world(kafka: str, redis_url: str, tmp_path: Path, teller: Teller) -> AsyncIterator[World]:
    """With the smallest memory of events, and little patience."""
    limits = {"events_kept_max": KEPT, "streams_max": 3, "keep_alive_seconds": 0.2}
    async with api(kafka, redis_url, tmp_path, **limits, stream_write_seconds_max=0.5) as made:
        yield made


async def test_a_record_told_again_is_no_event(world: World, teller: Teller) -> None:
    status, instance = a_status(), an_instance_status()
    async with listening(world.client) as listener:
        await teller.put(status)
        await teller.put(instance)
        await teller.take_over()
        for record in (status, instance, status):
            await teller.put(record)
        for _ in range(2):
            await teller.bury(instance)
        await teller.put(a_status(status=UNHEALTHY))
        await listener.heard("digits UNHEALTHY")
    name = instance.instance
    assert listener.words == [
        "digits HEALTHY",
        f"{name} HEALTHY",
        f"{name} gone",
        "digits UNHEALTHY",
    ]


async def test_what_a_former_owner_still_writes_is_no_event(world: World, teller: Teller) -> None:
    async with listening(world.client) as listener:
        await teller.take_over()
        await teller.put(a_status())
        teller.term = 1
        await teller.put(a_status(status=UNHEALTHY))
        teller.term = 2
        await teller.put(a_status("other"))
        await listener.heard("other HEALTHY")
        await listener.heard("digits HEALTHY")
    assert "digits UNHEALTHY" not in listener.words


async def test_a_position_that_is_too_old_gets_the_present_state(
    world: World, teller: Teller
) -> None:
    async with listening(world.client) as listener:
        await teller.put(a_status())
        await listener.heard("digits HEALTHY")
    async with listening(world.client) as other:
        for _ in range(KEPT + 1):
            await teller.put(a_status())
        await teller.put(a_status(status=UNHEALTHY))
        await other.heard("digits UNHEALTHY")
    async with listening(world.client, Last_Event_ID=listener.last_id) as after:
        await after.heard("digits UNHEALTHY")
    assert (after.events[0].kind, len(after.events)) == ("reset", 2)
    assert "too old" in after.events[0].data["sentence"]


async def test_a_reader_that_takes_nothing_is_cut_off_and_holds_nobody_up(
    world: World, teller: Teller
) -> None:
    host, _, port = world.process.address.rpartition(":")
    with socket.socket() as stuck:
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.connect((host, int(port)))
        stuck.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await until_open(world, 1)
        async with listening(world.client) as listener:
            for n in range(40):
                await teller.put(a_status(f"n{n}", padding=200_000))
            await listener.heard("n39 HEALTHY")
            assert len(listener.events) == 40
        await until_open(world, 0)
        stuck.setblocking(False)
        heard = bytearray()
        await eventually(lambda: has_ended(stuck, heard))
    assert heard.count(b"event: NodeStatusChanged") < 40


async def test_no_more_streams_are_opened_than_may_be(world: World) -> None:
    async with (
        listening(world.client),
        listening(world.client),
        listening(world.client, "/v1/nodes/digits/events"),
    ):
        reply = await world.client.get("/v1/events")
        assert (reply.status, reply.code) == (503, "too-many-streams")
    await until_open(world, 0)
    assert (await world.client.get("/v1/events?follow=false")).status == 200


async def test_a_quiet_stream_is_kept_alive(world: World, teller: Teller) -> None:
    async with listening(world.client, "/v1/nodes/digits/events") as listener:
        for n in range(12):
            await teller.put(a_status(f"other{n}"))  # News for others are none for this one.
            await asyncio.sleep(0.05)
        await listener.until(lambda one: one.comments.count("keep-alive") >= 2)
    assert listener.events == []


async def test_history_is_what_is_kept(world: World, teller: Teller) -> None:
    for n in range(KEPT + 20):
        await teller.put(a_status(f"n{n}"))
    async with listening(world.client) as listener:
        await teller.put(a_status("last"))
        await listener.heard("last HEALTHY")
    whole = await history(world.client)
    assert (len(whole.events), whole.words[-1]) == (KEPT, "last HEALTHY")


async def until_open(world: World, streams: int) -> None:
    """As the metrics tell how many are open."""
    line = f"cellnode_api_event_streams {streams:.1f}"
    for _ in range(1_000):
        if line in (await world.client.get("/metrics")).body.decode():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"never {streams} open streams")


def has_ended(connection: socket.socket, heard: bytearray) -> bool:
    """Reads what is there; whether the other side has closed."""
    while True:
        try:
            data = connection.recv(65536)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True
        if not data:
            return True
        heard += data
