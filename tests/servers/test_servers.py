"""The real servers of the tests: they come up, keep what they should, and say why they do not."""

from __future__ import annotations

import asyncio

import pytest

from tests.e2e.bus import Follower, Producer, a_command
from tests.e2e.waiting import until
from tests.servers import ApacheKafka, NotReady, RedisServer, apache_kafka, redis_server
from tests.servers.topics import make_topics

pytestmark = pytest.mark.kafka

if reason := apache_kafka.missing() or redis_server.missing():
    pytest.skip(reason, allow_module_level=True)


def test_kafka_keeps_its_log_through_a_kill_at_the_same_address() -> None:
    with ApacheKafka() as kafka:
        asyncio.run(make_topics(kafka.address, {"cellnode.commands": {}}))
        with Producer(kafka.address) as producer:
            producer.publish(a_command("DeleteNode", "kept"))
        kafka.restart()
        with Follower(kafka.address, "cellnode.commands") as reader:
            until("the record is read", reader.seen)
        directory = kafka.directory

    assert not directory.exists()


def test_a_kafka_that_does_not_come_up_says_why() -> None:
    kafka = ApacheKafka({"num.io.threads": "none"})

    with pytest.raises(NotReady, match=r"num\.io\.threads"), kafka:
        raise AssertionError("it came up")

    assert not kafka.directory.exists()


def test_a_paused_kafka_holds_connections_open_and_comes_back() -> None:
    with ApacheKafka() as kafka:
        kafka.pause()
        assert kafka.answers()
        kafka.resume()
        asyncio.run(make_topics(kafka.address, {"cellnode.commands": {}}))


@pytest.mark.parametrize("on_socket", [False, True])
def test_redis_comes_back_empty_or_from_an_older_dump(on_socket: bool) -> None:
    with RedisServer(on_socket=on_socket) as redis:
        redis.ask("SET", "key", "old")
        dump = redis.save(redis.directory / "older.rdb")
        redis.ask("SET", "key", "new")
        redis.restart()
        assert redis.ask("GET", "key") == "$-1\r\n"
        redis.restart_from(dump)
        assert redis.ask("GET", "key") == "$3\r\nold\r\n"
        redis.restart_empty()
        assert redis.ask("GET", "key") == "$-1\r\n"


def test_a_redis_that_keeps_its_writes_has_them_after_a_kill() -> None:
    with RedisServer(["--appendfsync", "always"], keeps=True) as redis:
        redis.ask("SET", "key", "kept")
        redis.restart()
        assert redis.ask("GET", "key") == "$4\r\nkept\r\n"
