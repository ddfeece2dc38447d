"""Three gateways, one cut off from Redis: it serves, says its age, and misses nothing later."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from schemas.ids import partition_of
from schemas.projection import feed_key
from schemas.statuses import InstanceStatus
from services.chassis.clock import SYSTEM_CLOCK
from services.chassis.metrics import Metrics
from services.chassis.process import Process
from services.chassis.redis import connected
from services.gateway.app import gateway
from services.gateway.consumers import Follower
from services.gateway.endpoints import Endpoint
from services.gateway.gateway import Gateway
from services.gateway.local_copy import LocalCopy
from services.gateway.measures import Measures
from services.gateway.settings import GatewaySettings
from tests.builders import a_node
from tests.services.gateway.agents import Agent, echoes, listening
from tests.services.gateway.fault_proxy import FaultProxy, Way, proxy_to
from tests.services.gateway.projecting import Projecting
from tests.services.gateway.waiting import until
from tests.services.gateway.wire import Wire

pytestmark = pytest.mark.full

CHANGES = 300
CUT_SECONDS = 3.0
SLOW_SECONDS = 0.8  # Below the deadline of a question to Redis.
CALLS = 30
# The last to be changed, one in each partition.
LAST = {partition_of(f"default/last{n}", 4): f"last{n}" for n in range(40)}.values()


@dataclass
class Gateways:
    """The first one reaches Redis through the proxy alone."""

    proxy: FaultProxy
    projecting: Projecting
    sites: list[Gateway]
    addresses: list[str]

    def known(self, n: int) -> dict[str, tuple[object, ...]]:
        """What a gateway would route by."""
        nodes = self.sites[n].nodes
        return {
            place: (node.facts, *sorted((one.instance, one.pool._url) for one in node.endpoints))
            for place, node in nodes.items()
        }

    def change(self, count: int) -> None:
        """Nodes that come and go, instances that fall ill and recover."""
        for n in range(count):
            node = a_node(f"n{n % 40}")
            if n % 7 == 6:
                self.projecting.bury_node(node)
            else:
                self.projecting.put_node(node)
                status = InstanceStatus.HEALTHY if n % 3 else InstanceStatus.UNHEALTHY
                self.projecting.put_instance(node, n % 5 + 1, f"unix:/tmp/none{n}", status)
        for name in LAST:
            self.projecting.put_node(a_node(name))

    def has_all(self, n: int) -> bool:
        """Of each partition's changes, in whose order they come."""
        return all(f"default/{name}" in self.sites[n].nodes for name in LAST)

    async def page(self, n: int, path: str) -> tuple[dict[str, str], bytes]:
        wire = await Wire.to(self.addresses[n])
        await wire.send(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        reply = await wire.reply()
        await wire.close()
        return reply.headers, reply.body

    async def equal(self) -> None:
        """What was changed has come to all, and they agree on it."""
        await until(lambda: all(self.has_all(n) for n in range(3)))
        assert self.known(0) == self.known(1) == self.known(2)


@pytest.fixture
async def gateways(redis_url: str, projecting: Projecting, folder: Path) -> AsyncIterator[Gateways]:
    agent = Agent(a_node("digits").instance_id(1), folder / "1", echoes)
    projecting.serve("digits", [agent.url])
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(listening(agent))
        proxy = await stack.enter_async_context(proxy_to(redis_url))
        sites, addresses = [], []
        for url in (proxy.url, redis_url, redis_url):
            settings = {"redis_url": url, "listen": "127.0.0.1:0", "drain_idle_seconds": 0.0}
            process = Process("gateway", GatewaySettings.model_validate(settings))
            sites.append(await stack.enter_async_context(gateway(process)))
            addresses.append(process.address)
        made = Gateways(proxy, projecting, sites, addresses)
        await until(lambda: made.known(0) == made.known(1) == made.known(2))
        yield made


async def called(address: str, count: int = CALLS) -> float:
    """All are answered; the seconds of the slowest."""
    wire, slowest = await Wire.to(address), 0.0
    for _ in range(count):
        begun = time.monotonic()
        assert (await wire.call("digits")).status == 200
        slowest = max(slowest, time.monotonic() - begun)
    await wire.close()
    return slowest


@pytest.mark.parametrize("feed_keeps", [None, 10, 0])
@pytest.mark.parametrize("way", [Way.HELD, Way.CUT])
async def test_what_was_missed_is_caught_up_without_a_gap(
    gateways: Gateways, way: Way, feed_keeps: int | None
) -> None:
    before = gateways.known(0)
    gateways.proxy.set(way)
    gateways.change(CHANGES)
    await until(lambda: gateways.has_all(1) and gateways.has_all(2))
    assert gateways.known(0) == before
    assert await called(gateways.addresses[0]) < CUT_SECONDS
    if feed_keeps is not None:
        for partition in range(4):
            feed = feed_key(partition, gateways.projecting.incarnation)
            gateways.projecting.redis.xtrim(feed, feed_keeps, approximate=False)
    gateways.proxy.set(Way.OPEN)
    await gateways.equal()
    assert len(gateways.known(0)) > 30


async def test_the_age_of_the_copy_is_said_right(gateways: Gateways) -> None:
    gateways.projecting.heartbeat()
    await asyncio.sleep(1.0)
    gateways.projecting.heartbeat()
    gateways.proxy.set(Way.HELD)
    begun = time.time()
    await asyncio.sleep(CUT_SECONDS)
    headers, body = await gateways.page(0, "/readyz")
    told = json.loads(body)
    passed = time.time() - begun
    assert told["ready"]
    assert passed - 0.5 <= told["projection"]["age_seconds"] <= passed + 1.5
    assert abs(float(headers["cellnode-projection-age"]) - passed) < 2
    await until(lambda: gateways.sites[0]._copy.told()["trouble"])
    gateways.change(CHANGES)
    gateways.proxy.set(Way.OPEN)
    await gateways.equal()
    await until(lambda: not gateways.sites[0]._copy.told()["trouble"])
    assert gateways.sites[0]._copy.age_seconds() < CUT_SECONDS


async def test_a_copy_that_lacks_what_the_head_speaks_of_is_not_called_fresh(
    redis_url: str, projecting: Projecting
) -> None:
    """The head came, and the feed has not brought it yet: the copy is as old as it was."""
    measures, moment = Measures(Metrics("gateway")), [0.0]
    copy = LocalCopy(
        4, measures=measures, endpoint=nobody, changed=lambda _: None, wall_ms=lambda: moment[0]
    )
    async with connected(redis_url) as redis:
        follower = Follower(redis, copy, measures, partitions=4, clock=SYSTEM_CLOCK)
        await follower._look()
        written_at = dict(copy._written_at_ms)
        await asyncio.sleep(0.01)
        projecting.put_node(a_node("digits"))
        projecting.heartbeat()
        await follower._look()
        changed = [p for p in range(4) if copy._written_at_ms[p] == written_at[p]]
        assert changed == [partition_of("default/digits", 4)]
        await follower._read_feeds(0.1)
        assert copy._written_at_ms[changed[0]] > written_at[changed[0]]


def nobody(instance: str, url: str) -> Endpoint:
    raise AssertionError(f"there is no instance {instance} at {url}")


async def test_no_call_waits_for_a_slow_redis(gateways: Gateways) -> None:
    gateways.proxy.delay_seconds = SLOW_SECONDS
    gateways.change(50)
    assert await called(gateways.addresses[0]) < SLOW_SECONDS
    await gateways.equal()
    assert await called(gateways.addresses[0]) < SLOW_SECONDS
