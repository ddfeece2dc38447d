"""The door to Redis: deadlines that hold, errors of our tree, answers as we type them."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from schemas.errors import StoreUnavailable
from services.chassis.redis import FeedEntry, Script, Steps, connected


async def test_hashes_steps_and_scripts_answer_bytes(redis_url: str) -> None:
    async with connected(redis_url) as redis:
        steps = Steps().add("HSET", "h", "a", b"\xff").add("HGETALL", "h").add("GET", "none")
        assert await redis.step(steps) == [1, {b"a": b"\xff"}, None]
        assert await redis.hgetall("h") == {b"a": b"\xff"}
        assert await redis.hgetalls(["h", "none"]) == [{b"a": b"\xff"}, {}]
        script = Script("return {KEYS[1], ARGV[1], 7}")
        for _ in range(2):
            assert await redis.run(script, ["k"], ["v"]) == [b"k", b"v", 7]
        assert await redis.many(Steps().add("PING").add("DEL", "h")) == [True, 1]


async def test_a_script_is_sent_again_to_a_redis_that_forgot_it(redis_url: str) -> None:
    async with connected(redis_url) as redis:
        script = Script("return redis.call('INCR', KEYS[1])")
        assert await redis.run(script, ["n"], []) == 1
        await redis.command("SCRIPT", "FLUSH")
        assert await redis.run(script, ["n"], []) == 2


async def test_a_stream_is_read_after_an_id_and_waited_for(redis_url: str) -> None:
    async with connected(redis_url) as redis, connected(redis_url) as writer:
        await writer.command("XADD", "s", "1-0", "key", "a")
        first = await redis.xread({"s": "0-0"}, count=10, wait_seconds=1)
        assert first == {"s": [FeedEntry("1-0", {b"key": b"a"})]}
        assert await redis.xread({"s": "1-0"}, count=10, wait_seconds=0.02) == {}
        waiting = asyncio.create_task(redis.xread({"s": "1-0"}, count=10, wait_seconds=1))
        await asyncio.sleep(0.02)
        await writer.command("XADD", "s", "2-0", "key", "b")
        assert [entry.id for entry in (await waiting)["s"]] == ["2-0"]


async def test_an_error_of_redis_is_ours(redis_url: str) -> None:
    async with connected(redis_url) as redis:
        await redis.command("SET", "text", "1")
        with pytest.raises(StoreUnavailable, match="WRONGTYPE"):
            await redis.hgetall("text")


async def test_a_redis_that_is_not_there_is_said_at_once() -> None:
    began = time.monotonic()
    async with connected("unix:///nowhere/redis.sock", timeout_seconds=1) as redis:
        with pytest.raises(StoreUnavailable):
            await redis.ping()
    assert time.monotonic() - began < 0.5


async def test_a_redis_that_hangs_is_given_up_within_twice_the_timeout() -> None:
    """The client's default retries would make 10 s out of half a second."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        port = silent.getsockname()[1]
        async with connected(f"redis://127.0.0.1:{port}/0", timeout_seconds=0.2) as redis:
            with pytest.raises(StoreUnavailable):
                await redis.ping()
    assert time.monotonic() - began < 2
