"""Gateways in replicas: restarted one after another under load, and cut off from Redis.

Three processes behind a plain TCP balancer that knows only who takes connections, in front of one
node of real instances, on Apache Kafka and Redis. `python -m benchmarks.chaos_gateways` alone.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from benchmarks.gateway_cut import Cut, cut_off
from benchmarks.gateway_load import Balancer, Load
from benchmarks.rows import Row, finish
from tests.e2e.bus import Follower
from tests.e2e.system import System
from tests.e2e.waiting import until
from tests.e2e.world import World
from tests.servers import ApacheKafka, RedisServer
from tests.servers.service import ServiceProcess

REPLICAS = 3
RESTARTS = 20
REQUESTS_MIN = 50_000
REQUESTS_SECONDS_MAX = 200.0
RATE = 400.0  # Requests a second.
INSTANCES = 3
CELL = "y = [v * 2]"
CALM_SECONDS = 1.0  # Between two restarts.
EXIT_SECONDS_MAX = 15.0


@dataclass(frozen=True)
class Site:
    """Everything that runs."""

    world: World
    redis: RedisServer
    gateways: list[ServiceProcess]
    balancer: Balancer
    node: str


@contextmanager
def serving() -> Iterator[Site]:
    with ExitStack() as stack:
        kafka = stack.enter_context(ApacheKafka())
        redis = stack.enter_context(RedisServer())
        system = System({}, ["--kafka", kafka.address, "--redis", redis.url])
        stack.callback(system.remove)
        stack.callback(system.stop)
        system.start()
        world = World(system, stack.enter_context(Follower(system.kafka)))
        node = world.deploy(world.pin(), CELL, inputs=["v"], outputs=["y"], want=INSTANCES)
        settings = {"REDIS_URL": redis.url, "CELLNODE_GATEWAY_API_URL": system.addresses["api"]}
        gateways = [stack.enter_context(gateway(settings)) for _ in range(REPLICAS)]
        for one in gateways:
            one.until_ready()
        balancer = stack.enter_context(Balancer([one.port for one in gateways]))
        yield Site(world, redis, gateways, balancer, node)


def gateway(settings: Mapping[str, str]) -> ServiceProcess:
    return ServiceProcess("gateway", settings)


def rows() -> list[Row]:
    with serving() as site:
        restarts = _restarted(site)
        cut = cut_off(site.world, site.redis, site.node)
    return [*restarts, *_cut_rows(cut)]


def _restarted(site: Site) -> list[Row]:
    begun, ended_well, slowest = time.monotonic(), 0, 0.0
    with Load(site.balancer.port, site.node, RATE) as load:
        for n in range(RESTARTS):
            time.sleep(CALM_SECONDS)
            seconds = _restart(site.gateways[n % REPLICAS])
            ended_well += seconds is not None
            slowest = max(slowest, seconds or 0.0)
        left = REQUESTS_MIN / RATE + 1 - (time.monotonic() - begun)
        time.sleep(min(max(0.0, left), REQUESTS_SECONDS_MAX))
        told = load.ended()
    say(json.dumps(told))
    return [
        Row("gateway_restarts_count", ended_well, at_least=RESTARTS),
        Row("gateway_restart_requests_count", told["requests"], at_least=REQUESTS_MIN),
        Row("gateway_restart_failed_requests_count", told["failed"], at_most=0),
        Row("gateway_restart_new_connections_count", told["connections"]),
        Row("gateway_restart_p99_seconds", told["p99_seconds"]),
        Row("gateway_restart_longest_seconds", told["longest_seconds"]),
        Row("gateway_restart_load_late_p99_seconds", told["late_p99_seconds"]),
        Row("gateway_restart_drain_longest_seconds", slowest),
    ]


def _restart(one: ServiceProcess) -> float | None:
    """Drained, gone with exit code 0, and another one at the same address; how long it drained."""
    begun = time.monotonic()
    one.terminate()
    until("it has ended", lambda: not one.is_running, seconds=EXIT_SECONDS_MAX)
    seconds, code = time.monotonic() - begun, one.exit_code
    one.start()
    one.until_ready()
    return seconds if code == 0 else None


def _cut_rows(cut: Cut) -> list[Row]:
    return [
        Row("gateway_cut_off_seconds", cut.seconds),
        Row("gateway_cut_off_changes_count", cut.changes),
        Row("gateway_cut_off_requests_count", cut.requests),
        Row("gateway_cut_off_failed_requests_count", cut.failed, at_most=0),
        Row("gateway_cut_off_age_wrong_by_seconds", cut.age_wrong_by_seconds, at_most=1.0),
        Row("gateway_cut_off_caught_up_seconds", cut.caught_up_seconds, at_most=5.0),
    ]


def say(line: str) -> None:
    sys.stderr.write(f"# {line}\n")


if __name__ == "__main__":
    sys.exit(finish(rows()))
