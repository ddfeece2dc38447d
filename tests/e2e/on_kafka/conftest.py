"""The fixtures of the end-to-end tests again, with Apache Kafka and Debian's Redis below."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.bus import Follower
from tests.e2e.on_kafka.given import GivenSystem
from tests.e2e.system_running import leaving_nothing, living
from tests.e2e.world import World
from tests.servers import ApacheKafka, NotInstalled, RedisServer


@pytest.fixture(scope="session")
def redis_on_socket() -> Iterator[RedisServer]:
    """Debian's redis-server where the tests' own reader looks for it: on a Unix socket."""
    try:
        server = RedisServer(on_socket=True)
    except NotInstalled as error:
        pytest.skip(str(error))
    with server:
        yield server


@pytest.fixture(scope="module")
def system(apache_kafka: ApacheKafka, redis_on_socket: RedisServer) -> Iterator[GivenSystem]:
    """One system a module; at the end nothing of it may be left."""
    with leaving_nothing(GivenSystem(apache_kafka, redis_on_socket)) as system:
        yield system


@pytest.fixture(scope="module")
def statuses(system: GivenSystem) -> Iterator[Follower]:
    with Follower(system.kafka) as follower:
        yield follower


@pytest.fixture(scope="module")
def records(system: GivenSystem) -> Iterator[Follower]:
    """The topic `nodes` as anyone may read it."""
    with Follower(system.kafka, "cellnode.nodes") as follower:
        yield follower


@pytest.fixture(scope="module")
def facts(system: GivenSystem) -> Iterator[Follower]:
    """The topic `instances` as anyone may read it."""
    with Follower(system.kafka, "cellnode.instances") as follower:
        yield follower


@pytest.fixture(scope="module")
def module_world(system: GivenSystem, statuses: Follower) -> Iterator[World]:
    """For nodes that several tests of a module share."""
    world = World(system, statuses)
    yield world
    world.forget()


@pytest.fixture
def own_system(apache_kafka: ApacheKafka, redis_on_socket: RedisServer) -> Iterator[GivenSystem]:
    """A system that the test may end as it likes."""
    with living(GivenSystem(apache_kafka, redis_on_socket)) as system:
        yield system


@pytest.fixture
def small_world(apache_kafka: ApacheKafka, redis_on_socket: RedisServer) -> Iterator[World]:
    """A system of its own with room for two instances."""
    environment = {"CELLNODE_PROVISIONER_INSTANCES_MAX": "2"}
    system = GivenSystem(apache_kafka, redis_on_socket, environment)
    with leaving_nothing(system), Follower(system.kafka) as statuses:
        yield World(system, statuses)
