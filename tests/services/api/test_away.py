"""Kafka or Redis away, at the start or later: the api lives, says which, and is whole again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from schemas.topics import Topic
from services.api.app import wired
from services.embedded.broker import EmbeddedBroker
from tests.services.api.listening import history, listening
from tests.services.api.servers import serving_redis
from tests.services.api.telling import a_status, telling
from tests.services.api.world import (
    PARTITIONS,
    Client,
    Reply,
    a_process,
    api,
    eventually,
    new_session,
)
from tests.services.gateway.projecting import Projecting

QUICK = {"send_timeout_seconds": 0.5, "redis_timeout_seconds": 0.3}


def projecting_to(redis_url: str) -> Projecting:
    return Projecting(Redis.from_url(redis_url))


@pytest.fixture
def projecting(redis_url: str) -> Iterator[Projecting]:
    """A projection of no nodes, ready to be written to."""
    with Redis.from_url(redis_url) as redis:
        writing = Projecting(redis)
        writing.publish_empty()
        yield writing


async def test_without_kafka_nodes_are_read_and_commands_are_refused_with_the_doubt(
    broker: EmbeddedBroker, projecting: Projecting, redis_url: str, tmp_path: Path
) -> None:
    projecting.serve("digits", [])
    async with api(broker.address, redis_url, tmp_path, **QUICK) as world:
        broker.down()
        assert (await world.client.get("/v1/nodes/digits")).status == 200
        for path in ("digits:suspend", "digits:suspend?wait=ACCEPTED"):
            reply = await world.client.ask("POST", f"/v1/nodes/{path}", Idempotency_Key="once")
            assert (reply.status, reply.code) == (503, "bus-unavailable")
            assert "may or may not" in reply.json["detail"]
            assert "Idempotency-Key" in reply.json["remedy"]
            assert reply.headers["Retry-After"] == "1"
        assert (await world.client.get("/livez")).status == 200
        broker.up()
        path = "/v1/nodes/digits:suspend"
        await until_answered(world.client, path, lambda one: one.status == 202, "POST")


async def test_without_redis_reading_fails_and_commands_go_on(kafka: str, tmp_path: Path) -> None:
    with serving_redis() as redis:
        projecting = projecting_to(redis.url)
        projecting.publish_empty()
        projecting.serve("digits", [])
        async with api(kafka, redis.url, tmp_path, **QUICK) as world:
            assert (await world.client.get("/v1/nodes/digits")).status == 200
            redis.kill()
            for path in ("/v1/nodes", "/v1/nodes/digits"):
                reply = await world.client.get(path)
                assert (reply.status, reply.code) == (503, "projection-unavailable")
            assert (await world.client.ask("POST", "/v1/nodes/digits:suspend")).status == 202
            assert (await world.client.get("/livez")).status == 200
            redis.start()
            reply = await world.client.get("/v1/nodes/digits")
            assert reply.code == "projection-unavailable", "an empty Redis is not an empty cellnode"
            projecting.publish_empty()
            path = "/v1/nodes/digits"
            await until_answered(world.client, path, lambda one: one.code == "node-unknown")


async def test_a_rebuilt_projection_is_read_at_once(
    kafka: str, projecting: Projecting, redis_url: str, tmp_path: Path
) -> None:
    projecting.serve("digits", [])
    async with api(kafka, redis_url, tmp_path, **QUICK) as world:
        assert (await world.client.get("/v1/nodes/digits")).status == 200
        projecting.rebuild("second")
        assert (await world.client.get("/v1/nodes/digits")).status == 200


async def test_it_lives_before_kafka_and_redis_do_and_is_ready_when_both_were_read(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    broker.down()
    with serving_redis() as redis:
        redis.kill()
        process = a_process(broker.address, redis.url, tmp_path, **QUICK)
        entered = wired(process)
        starting = asyncio.create_task(entered.__aenter__())
        await eventually(lambda: process.address)
        async with new_session() as session:
            client = Client(process.address, session)
            assert (await client.get("/livez")).status == 200
            await says_what_is_away(client)
            redis.start()
            projecting_to(redis.url).publish_empty()
            broker.up()
            await asyncio.wait_for(starting, 20)
            await eventually(lambda: process.readiness.is_ready)
            assert (await client.get("/v1/events?follow=false")).status == 200
        await entered.__aexit__(None, None, None)


async def test_a_new_log_begins_with_a_reset(kafka: str, redis_url: str, tmp_path: Path) -> None:
    """The embedded broker forgets everything when it is started again."""
    async with (
        telling(kafka, "one") as teller,
        api(kafka, redis_url, tmp_path) as world,
        listening(world.client) as listener,
    ):
        await teller.put(a_status("old"))
        await listener.heard("old HEALTHY")
    with EmbeddedBroker([topic.value for topic in Topic], PARTITIONS) as other:
        async with telling(other.address, "two") as teller:
            for _ in range(3):
                await teller.put(a_status("new"))
        async with api(other.address, redis_url, tmp_path) as world:
            after = await history(world.client, Last_Event_ID=listener.last_id)
    assert [one.kind for one in after.events] == ["reset", "NodeStatusChanged"]
    assert after.words[1] == "new HEALTHY"


async def test_an_api_that_is_started_again_lets_readers_go_on(
    kafka: str, redis_url: str, tmp_path: Path
) -> None:
    async with telling(kafka) as teller:
        async with api(kafka, redis_url, tmp_path) as world, listening(world.client) as before:
            await teller.put(a_status("first"))
            await before.heard("first HEALTHY")
        await teller.put(a_status("second"))
        async with api(kafka, redis_url, tmp_path) as world:
            after = await history(world.client, Last_Event_ID=before.last_id)
    assert after.words == ["second HEALTHY"]


async def test_streams_end_and_waits_are_answered_when_the_api_stops(
    kafka: str, redis_url: str, tmp_path: Path
) -> None:
    process = a_process(kafka, redis_url, tmp_path)
    entered = wired(process)
    await asyncio.wait_for(entered.__aenter__(), 20)
    async with new_session() as opened:
        client = Client(process.address, opened)
        async with listening(client) as listener:
            path = "/v1/nodes/digits:suspend?wait=ACCEPTED&timeout_seconds=60"
            waiting = asyncio.create_task(client.ask("POST", path))
            await until_answered(client, "/v1/commands?limit=1", lambda one: one.json["commands"])
            await asyncio.wait_for(entered.__aexit__(None, None, None), 10)
            reply = await asyncio.wait_for(waiting, 5)
            await listener.until(lambda one: one.has_ended)
    assert (reply.status, reply.code) == (504, "wait-timeout")
    assert "stops" in listener.comments[-1]
    assert not process.readiness.is_ready


async def says_what_is_away(client: Client) -> None:
    unmet = [one["name"] for one in await conditions(client) if not one["met"]]
    assert {"bus", "events read", "projection read"} <= set(unmet)
    for path in ("/v1/commands", "/v1/events"):
        assert (await client.get(path)).code == "bus-unavailable"
    reply = await client.ask("POST", "/v1/nodes/digits:suspend")
    assert reply.code == "bus-unavailable"
    assert "was not sent" in reply.json["detail"]


async def conditions(client: Client) -> list[dict[str, Any]]:
    told = await client.get("/readyz")
    assert told.status == 503
    return list(told.json["conditions"])


async def until_answered(
    client: Client, path: str, is_so: Callable[[Reply], Any], method: str = "GET"
) -> None:
    for _ in range(300):
        reply = await client.ask(method, path)
        if is_so(reply):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"never so: {reply}")
