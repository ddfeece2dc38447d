"""The local copy follows the projection, and outlives it: no fault of Redis fails a call."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from redis import Redis

from schemas.ids import partition_of
from schemas.projection import Change, ProjectedTable, head_key, table_key
from schemas.statuses import InstanceStatus
from services.embedded.redis_process import socket_arguments
from tests.builders import a_node
from tests.services.gateway.agents import echoes
from tests.services.gateway.waiting import until
from tests.services.gateway.world import World

NODES, INSTANCES = ProjectedTable.NODES, ProjectedTable.INSTANCE_STATUSES
REDIS_PAUSE_SECONDS = 10.0


@asynccontextmanager
async def served_meanwhile(world: World, node: str = "digits") -> AsyncIterator[list[int]]:
    """Calls all the time; afterwards every one of them must have been answered with 200."""
    statuses: list[int] = []

    async def call_on() -> None:
        wire = await world.wire()
        while True:
            statuses.append((await wire.call(node)).status)

    calling = asyncio.ensure_future(call_on())
    try:
        yield statuses
        await asyncio.sleep(0.05)
        assert not calling.done(), calling.exception()
    finally:
        calling.cancel()
    assert len(statuses) > 10
    assert set(statuses) == {200}


async def test_an_instance_is_routed_to_and_left_with_every_change(world: World) -> None:
    (agent,) = await world.agents("digits", echoes)
    node = a_node("digits")
    for _ in range(20):
        for status, wanted in ((InstanceStatus.UNHEALTHY, 0), (InstanceStatus.HEALTHY, 1)):
            world.projecting.put_instance(node, 1, agent.url, status)
            await world.routed(node, wanted)


@pytest.mark.parametrize("status", [one for one in InstanceStatus])
async def test_only_healthy_instances_get_calls(world: World, status: InstanceStatus) -> None:
    await world.agents("digits", echoes)
    node = a_node("digits")
    world.projecting.put_instance(node, 2, "unix:/tmp/never", status)
    healthy = 2 if status is InstanceStatus.HEALTHY else 1
    world.projecting.put_node(a_node("marker"))
    await world.routed(a_node("marker"), 0)
    await world.routed(node, healthy)


async def test_a_buried_instance_gets_no_calls(world: World) -> None:
    await world.agents("digits", echoes, echoes)
    world.projecting.bury_instance(a_node("digits"), 1)
    await world.routed(a_node("digits"), 1)
    assert (await world.call("digits")).status == 200


async def test_a_new_incarnation_is_read_whole_while_calls_go_on(world: World) -> None:
    await world.agents("digits", echoes)
    async with served_meanwhile(world):
        world.projecting.rebuild("second")
        world.projecting.put_node(a_node("another"))
        await world.routed(a_node("another"), 0)


async def test_redis_flushed_changes_nothing_until_it_is_written_again(world: World) -> None:
    await world.agents("digits", echoes)
    async with served_meanwhile(world):
        world.projecting.redis.flushall()
        await asyncio.sleep(1.5)
        assert world.endpoints("default/digits") == 1
        world.projecting.rebuild("second")
        world.projecting.put_node(a_node("another"))
        await world.routed(a_node("another"), 0)


@contextmanager
def started_empty(path: Path) -> Iterator[None]:
    path.unlink(missing_ok=True)
    empty = subprocess.Popen(socket_arguments(path), cwd=path.parent)
    try:
        yield
    finally:
        empty.kill()
        empty.wait()


async def test_redis_killed_and_started_empty_changes_nothing_either(
    world: World, redis_url: str
) -> None:
    await world.agents("digits", echoes)
    path = Path(redis_url.removeprefix("unix://"))
    async with served_meanwhile(world):
        os.kill(int(world.projecting.redis.info("server")["process_id"]), signal.SIGKILL)
        await asyncio.sleep(0.5)
        with started_empty(path):
            await until(path.exists)
            await asyncio.sleep(1.5)
            assert world.endpoints("default/digits") == 1
            world.projecting.rebuild("second")
            world.projecting.put_node(a_node("another"))
            await world.routed(a_node("another"), 0)


@pytest.mark.full
async def test_an_old_snapshot_is_not_believed(world: World) -> None:
    await world.agents("digits", echoes)
    node, redis = a_node("digits"), world.projecting.redis
    head = head_key(partition_of(node.place, 4))
    await asyncio.sleep(1.1)  # The gateway has looked at the head.
    async with served_meanwhile(world):
        redis.hset(head, mapping={"incarnation": "old", "version": 0})
        redis.hincrby(head, "at", -60_000)
        await asyncio.sleep(2.5)
        assert world.endpoints(node.place) == 1
        world.projecting.rebuild("second")
        world.projecting.put_node(a_node("another"))
        await world.routed(a_node("another"), 0)


async def test_a_gap_in_the_feed_reads_the_partition_again(world: World) -> None:
    (agent,) = await world.agents("digits", echoes)
    node, projecting = a_node("digits"), world.projecting
    reloads = world.site._measures.reloads
    projecting.put_instance(node, 2, agent.url)
    projecting.versions[partition_of(node.place, 4)] += 3
    projecting.put_instance(node, 3, agent.url)
    await world.routed(node, 3)
    assert world.site._measures.reloads == reloads + 1


async def test_a_change_that_the_feed_never_brought_is_found_by_the_head(world: World) -> None:
    (agent,) = await world.agents("digits", echoes)
    node, projecting = a_node("digits"), world.projecting
    partition = partition_of(node.place, 4)
    table = table_key(partition, projecting.incarnation, INSTANCES)
    value = projecting.redis.hget(table, agent.instance)
    assert isinstance(value, bytes)
    second = node.instance_id(2)
    copied = value.replace(agent.instance.encode(), second.encode())
    projecting.redis.hset(table, second, copied)
    projecting.redis.hincrby(head_key(partition), "version", 1)
    await world.routed(node, 2)


CORRUPT = [
    b"no json",
    b"{}",
    b'{"kind":"Node","project":"default","node":"other","spec":{}}',
    b'{"kind":"InstanceStatusChanged","project":"default","node":"digits","instance":"x"}',
    b"\xff\xfe",
]


@pytest.mark.parametrize("value", CORRUPT)
@pytest.mark.parametrize("table", [NODES, INSTANCES])
async def test_a_corrupt_value_is_refused_and_the_last_good_one_kept(
    world: World, table: ProjectedTable, value: bytes
) -> None:
    (agent,) = await world.agents("digits", echoes)
    key = "default/digits" if table is NODES else agent.instance
    world.projecting.put("default/digits", Change(table, key, value))
    await until(lambda: world.site._measures.values_refused)
    assert (await world.call("digits")).status == 200
    world.projecting.rebuild("second")  # The corrupt value is in it too.
    await until(lambda: world.site._measures.values_refused >= 2)
    assert (await world.call("digits")).status == 200


@pytest.mark.parametrize(
    "endpoint",
    ["", "ftp://x:1", "unix:relative", "http://host", "http://h:99999", "unix:/" + "a" * 120],
)
async def test_an_endpoint_that_nothing_can_reach_is_refused(world: World, endpoint: str) -> None:
    await world.agents("digits", echoes)
    world.projecting.put_instance(a_node("digits"), 2, endpoint)
    await until(lambda: world.site._measures.values_refused)
    assert world.endpoints("default/digits") == 1


@pytest.mark.full
async def test_a_redis_that_hangs_delays_no_call_and_the_age_tells(
    world: World, redis_url: str
) -> None:
    await world.agents("digits", echoes)
    await asyncio.sleep(1.1)
    with Redis.from_url(redis_url) as other:
        other.execute_command("CLIENT", "PAUSE", int(REDIS_PAUSE_SECONDS * 1000), "ALL")
    began = time.monotonic()
    async with served_meanwhile(world):
        await asyncio.sleep(2.5)
    wire = await world.wire()
    async with asyncio.timeout(REDIS_PAUSE_SECONDS / 2):  # No call waits for Redis.
        for _ in range(20):
            await wire.call("digits")
    passed = time.monotonic() - began
    assert passed - 0.5 <= world.gauges["projection_age_seconds"] <= passed + 3.0
