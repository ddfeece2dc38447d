"""A thousand nodes with ten instances each: pages in order, quickly, over changes and filters."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import pytest_asyncio
from redis import Redis

from schemas.events import InstanceStatusChanged, NodeStatusChanged
from schemas.ids import partition_of
from schemas.nodes import Node
from schemas.projection import ProjectedTable, head_key, table_key
from schemas.statuses import InstanceStatus, NodeStatus, Reason, Transition
from schemas.topics import Topic
from services.embedded.broker import EmbeddedBroker
from tests.builders import NOON, a_node, an_id
from tests.services.api.servers import serving_redis
from tests.services.api.world import PARTITIONS, World, api

pytestmark = pytest.mark.asyncio(loop_scope="module")

NODES, EACH, SICK = 1_000, 10, 50
PAGE_SECONDS_MAX = 3.0  # On a busy machine; some hundred milliseconds on one that is not.
PIECE = 500


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """A projection of many nodes; nobody serves them."""
    topics = [topic.value for topic in Topic]
    async with AsyncExitStack() as stack:
        broker = stack.enter_context(EmbeddedBroker(topics, PARTITIONS))
        redis = stack.enter_context(serving_redis())
        with Redis.from_url(redis.url) as writer:
            write_many(writer)
        data = tmp_path_factory.mktemp("many")
        made = await stack.enter_async_context(api(broker.address, redis.url, data))
        made.redis_url = redis.url
        yield made


async def test_a_page_of_a_hundred_comes_quickly_and_whole(world: World) -> None:
    begun = time.monotonic()
    reply = await world.client.get("/v1/nodes?limit=100")
    assert time.monotonic() - begun < PAGE_SECONDS_MAX
    nodes = reply.json["nodes"]
    assert [one["node"] for one in nodes] == [name(n) for n in range(100)]
    assert {len(one["instances"]) for one in nodes} == {EACH}
    assert reply.json["next"] == name(99)
    assert reply.headers["Link"] == f'</v1/nodes?limit=100&after={name(99)}>; rel="next"'


async def test_an_instance_of_a_node_that_lived_long_is_found(world: World) -> None:
    with Redis.from_url(world.redis_url) as writer:
        node = the_node(7).model_copy(update={"next_n": 1_000_001})
        last = an_instance(node, 1_000_000)
        put(writer, ProjectedTable.NODES, node.place, node)
        put(writer, ProjectedTable.INSTANCE_STATUSES, last.instance, last)
    reply = await world.client.get(f"/v1/nodes/{name(7)}")
    ids = [one["instance"] for one in reply.json["instances"]]
    assert ids == [node.instance_id(n) for n in (*range(1, EACH + 1), 1_000_000)]


async def test_those_in_one_status_are_found_among_the_others(world: World) -> None:
    first = (await world.client.get("/v1/nodes?status=UNHEALTHY&limit=30")).json
    path = f"/v1/nodes?status=UNHEALTHY&limit=30&after={first['next']}"
    rest = (await world.client.get(path)).json
    names = [one["node"] for one in (*first["nodes"], *rest["nodes"])]
    assert names == [name(n) for n in range(NODES - SICK, NODES)]
    assert rest["next"] is None


@pytest.mark.full
async def test_pages_leave_nobody_out_while_nodes_come_and_go(world: World) -> None:
    """Whoever is there the whole time is on exactly one page."""
    seen, after = list[str](), ""
    with Redis.from_url(world.redis_url) as writer:
        for turn in range(NODES):
            page = (await world.client.get(f"/v1/nodes?limit=300&after={after}")).json
            seen += [one["node"] for one in page["nodes"]]
            remove(writer, the_node(turn))
            put(writer, ProjectedTable.NODES, f"default/z{turn}", a_node(f"z{turn}"))
            if (after := page["next"] or "") == "":
                break
    assert len(seen) == len(set(seen))
    assert {name(n) for n in range(20, NODES)} <= set(seen)
    assert seen == sorted(seen)


def name(n: int) -> str:
    return f"n{n:04}"


def the_node(n: int) -> Node:
    return a_node(name(n)).model_copy(update={"uid": UUID(int=n << 104), "next_n": EACH + 1})


def an_instance(node: Node, n: int) -> InstanceStatusChanged:
    status = InstanceStatus.HEALTHY
    return InstanceStatusChanged(**common(node), instance=node.instance_id(n), status=status)


def common(node: Node) -> dict[str, Any]:
    step = Transition(status="HEALTHY", reason=Reason.READY, at=NOON, evidence={"a": "b"})
    return {
        "id": an_id(7),
        "project": node.project,
        "node": node.node,
        "at": NOON,
        "since": NOON + timedelta(seconds=1),
        "uid": node.uid,
        "generation": node.generation,
        "revision": node.revision,
        "reason": Reason.READY,
        "sentence": "The instance is ready and takes requests.",
        "transitions": (step,) * 20,
    }


def write_many(redis: Redis) -> None:
    told: dict[str, Any] = {"min": 1, "want": EACH, "healthy": EACH, "healthy_of_revision": EACH}
    pipeline = redis.pipeline(transaction=False)
    for n in range(NODES):
        node = the_node(n)
        status = NodeStatus.UNHEALTHY if n >= NODES - SICK else NodeStatus.HEALTHY
        record = NodeStatusChanged(**common(node), **told, status=status)
        put(pipeline, ProjectedTable.NODES, node.place, node)
        put(pipeline, ProjectedTable.NODE_STATUSES, node.place, record)
        for one in range(1, EACH + 1):
            instance = an_instance(node, one)
            put(pipeline, ProjectedTable.INSTANCE_STATUSES, instance.instance, instance)
        if n % PIECE == PIECE - 1:
            pipeline.execute()
    for partition in range(PARTITIONS):
        redis.hset(head_key(partition), mapping={"incarnation": "first", "version": 1, "at": 1})


def put(redis: Any, table: ProjectedTable, key: str, record: Any) -> None:
    partition = partition_of(record.place, PARTITIONS)
    value = record.model_dump_json(by_alias=True)
    redis.hset(table_key(partition, "first", table), key, value)


def remove(redis: Any, node: Node) -> None:
    partition = partition_of(node.place, PARTITIONS)
    redis.hdel(table_key(partition, "first", ProjectedTable.NODES), node.place)
