"""Who owns a partition acts, and nobody else: kills, pauses and comings of real processes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import pytest

from tests.e2e.bus import Seen, a_command
from tests.e2e.on_kafka.ground import Ground, several
from tests.e2e.on_kafka.services import SESSION_SECONDS, TAKEN_OVER_SECONDS_MAX, until_settled
from tests.e2e.waiting import stays, until
from tests.servers import ApacheKafka, RedisServer
from tests.servers.topics import remove_topics
from tests.services.chassis.folding import ALL, reading

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def running(apache_kafka: ApacheKafka, debian_redis: RedisServer) -> Iterator[Ground]:
    asyncio.run(remove_topics(apache_kafka.address))
    debian_redis.ask("FLUSHALL")
    with several(apache_kafka, debian_redis, provisioner=2, health=2) as ground:
        yield ground


@pytest.fixture
def ground(running: Ground) -> Iterator[Ground]:
    """All run and have their share; whatever a test has ended comes back after it."""
    yield running
    for service in running.services.running:
        if service.is_running:
            service.resume()
        else:
            service.start()
    for name in ("provisioner", "health"):
        until_settled(running.services, name)


def test_a_killed_owner_is_followed_within_its_session_and_five_seconds(ground: Ground) -> None:
    """The instances live on; what died with nobody looking is found by who takes over."""
    deployment = ground.deployment(want=2)
    node = deployment["node"]
    ground.publish(deployment)
    before = ground.only(node, 2)

    ground.services.owner(f"default/{node}").kill()
    killed = time.monotonic()
    outcome = ground.publish(a_command("ScaleNode", node, want=3))
    taken = time.monotonic() - killed

    assert outcome["kind"] == "CommandAccepted"
    assert taken < TAKEN_OVER_SECONDS_MAX
    assert set(before) < set(ground.only(node, 3))
    ground.delete(node)


def test_a_command_repeated_after_a_take_over_repeats_its_outcome(ground: Ground) -> None:
    deployment = ground.deployment()
    node = deployment["node"]
    first = ground.publish(deployment)
    before = ground.only(node, 1)

    ground.services.owner(f"default/{node}").kill()
    again = ground.repeat(deployment)

    assert (again["id"], again["generation"]) == (first["id"], first["generation"])
    assert ground.only(node, 1) == before
    ground.delete(node)


def test_a_deployment_repeated_after_its_node_was_deleted_brings_nothing_back(
    ground: Ground,
) -> None:
    deployment = ground.deployment()
    node = deployment["node"]
    first = ground.publish(deployment)
    ground.only(node, 1)
    ground.delete(node)

    here = ground.repeat(deployment)
    ground.services.owner(f"default/{node}").kill()
    elsewhere = ground.repeat(deployment)

    assert {first["id"]} == {here["id"], elsewhere["id"]}
    statuses = ground.topics["statuses"]
    is_gone = lambda: statuses.statuses(f"default/{node}")[-1] == "gone"  # noqa: E731
    stays("it is gone", is_gone, seconds=2)
    assert ground.services.sessions(node) == {}


@pytest.mark.parametrize("after_seconds", [0.0, 0.05, 0.3])
def test_an_owner_that_was_paused_in_the_middle_of_work_does_no_harm_when_it_goes_on(
    ground: Ground, after_seconds: float
) -> None:
    """It writes late and loses, live and for whoever reads from the start; nothing is doubled."""
    deployment = ground.deployment(want=3)
    node, place = deployment["node"], f"default/{deployment['node']}"
    zombie = ground.services.owner(place)

    ground.publish_only(deployment)
    time.sleep(after_seconds)
    zombie.pause()
    until("another owns it", lambda: ground.services.owner(place) is not zombie, seconds=20)
    ground.only(node, 3)
    ground.publish(a_command("ScaleNode", node, want=2))
    zombie.resume()
    time.sleep(SESSION_SECONDS)

    assert len(ground.only(node, 2)) == 2
    assert {one["id"] for one in ground.outcomes(deployment["id"])} != set()
    assert len({one["id"] for one in ground.outcomes(deployment["id"])}) == 1
    assert asyncio.run(generation(ground.kafka, node)) == 2
    assert ground.illegal_moves() == []
    ground.delete(node)


async def generation(kafka: str, node: str) -> int | None:
    """As a reader from the start knows it."""
    async with reading(kafka) as one:
        assert one.tables.is_complete(ALL)
        return one.generation(node)


def test_an_owner_that_goes_in_order_is_followed_at_once(ground: Ground) -> None:
    deployment = ground.deployment()
    node = deployment["node"]
    ground.publish(deployment)
    before = ground.only(node, 1)

    ground.services.owner(f"default/{node}").stop()
    stopped = time.monotonic()
    ground.publish(a_command("ScaleNode", node, want=2))

    assert time.monotonic() - stopped < SESSION_SECONDS
    assert set(before) < set(ground.only(node, 2))
    ground.delete(node)


def test_a_killed_health_is_followed_and_what_died_meanwhile_is_said(ground: Ground) -> None:
    deployment = ground.deployment(want=2)
    node = deployment["node"]
    ground.publish(deployment)
    killed = ground.only(node, 2)[0]

    begun = time.monotonic()
    ground.services.owner(f"default/{node}", "health").kill()
    ground.services.kill_instance(killed)
    told = until("it is said", lambda: later(ground, killed, begun), seconds=30)

    assert told.at - begun < TAKEN_OVER_SECONDS_MAX
    assert told.status != "HEALTHY", "the provisioner may have replaced it already"
    assert killed not in ground.only(node, 2)
    assert ground.illegal_moves() == []
    ground.delete(node)


def later(ground: Ground, key: str, moment: float) -> Seen | None:
    """What was said first of the key after a moment."""
    fitting = (one for one in ground.topics["statuses"].seen(key) if one.at > moment)
    return next(fitting, None)


def test_a_health_that_was_paused_says_nothing_false_when_it_goes_on(ground: Ground) -> None:
    deployment = ground.deployment(want=2)
    node, place = deployment["node"], f"default/{deployment['node']}"
    ground.publish(deployment)
    old = set(ground.only(node, 2))
    zombie = ground.services.owner(place, "health")

    zombie.pause()
    until(
        "another owns it", lambda: ground.services.owner(place, "health") is not zombie, seconds=20
    )
    ground.publish(a_command("RecreateNode", node))
    statuses = ground.topics["statuses"]
    until("the old ones are gone", lambda: not old & set(statuses.instances(node)), seconds=40)
    ground.only(node, 2)
    seen = len(statuses.seen(place))
    zombie.resume()
    time.sleep(SESSION_SECONDS)

    said = statuses.seen(place)[seen:]
    assert {one.status for one in said} <= {"HEALTHY"}
    assert ground.illegal_moves() == []
    ground.delete(node)
