"""Two hosts, each with a data directory of its own: whose instances lie elsewhere is said."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.bus import Json, a_command
from tests.e2e.on_kafka.ground import Ground, several
from tests.e2e.waiting import stays, until
from tests.servers import ApacheKafka, RedisServer
from tests.servers.topics import remove_topics

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]


@pytest.fixture
def ground(apache_kafka: ApacheKafka, debian_redis: RedisServer) -> Iterator[Ground]:
    """One provisioner and one health; the directory `elsewhere` is another host's."""
    asyncio.run(remove_topics(apache_kafka.address))
    debian_redis.ask("FLUSHALL")
    with several(apache_kafka, debian_redis, provisioner=1, health=1) as ground:
        yield ground


def refusal(ground: Ground, instance: str) -> Json | None:
    """What the record of the instance says of why it is not looked after."""
    last = ground.topics["instances"].now(instance)
    return ((last and last.value) or {}).get("refused")


def test_an_instance_of_another_host_is_said_to_be_foreign_and_left_alone(
    ground: Ground, tmp_path: Path
) -> None:
    """Who owns its node now can neither look at it nor remove it; its host can, once it is back."""
    services = ground.services
    deployment = ground.deployment()
    here = services.owner(f"default/{deployment['node']}")
    node = deployment["node"]
    ground.publish(deployment)
    (instance,) = ground.only(node, 1)

    here.kill()
    there = services.add("provisioner", data=tmp_path / "elsewhere")
    said = until("it is said", lambda: refusal(ground, instance))
    ground.publish(a_command("DeleteNode", node))
    stays("it lives", lambda: services.sessions(node) == {instance: 1}, seconds=2)
    there.kill()
    here.start()
    ground.topics["statuses"].wait(f"default/{node}", "gone", seconds=30)

    assert said["reason"] == "FOREIGN_HOST"
    assert "lies on" in said["difference"][0]
    assert services.sessions(node) == {}
    assert ground.illegal_moves() == []
