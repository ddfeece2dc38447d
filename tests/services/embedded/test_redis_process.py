"""The Redis-compatible server of the wheel starts in memory, on loopback or a Unix socket."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

from schemas.errors import StoreUnavailable
from services.chassis.redis import connected
from services.embedded import redis_process

ROOT = Path(__file__).parents[3]


async def test_the_server_answers_on_its_socket_and_keeps_nothing_on_disk(redis_url: str) -> None:
    async with connected(redis_url) as redis:
        await redis.command("SET", "a", "1")
        assert await redis.command("CONFIG", "GET", "save") == {b"save": b""}
    directory = Path(redis_url.removeprefix("unix://")).parent
    assert [path.name for path in directory.iterdir()] == ["s"]


async def test_a_process_of_ours_becomes_the_server(tmp_path: Path) -> None:
    port = redis_process.free_port()
    command = [sys.executable, "-P", "-m", "services.embedded.redis_process", "--port", str(port)]
    env = {"PYTHONPATH": str(ROOT)}
    server = await asyncio.create_subprocess_exec(*command, env=env, cwd=tmp_path)
    try:
        assert await _pid(redis_process.tcp_url(port)) == server.pid
    finally:
        server.terminate()
        assert await asyncio.wait_for(server.wait(), 5) == 0


async def _pid(url: str) -> int:
    """Of the server, once it answers."""
    deadline = time.monotonic() + 5
    while True:
        try:
            async with connected(url) as redis:
                info = await redis.command("INFO", "server")
        except StoreUnavailable:
            assert time.monotonic() < deadline, "no answer"
        else:
            assert isinstance(info, dict)
            return int(info["process_id"])
