"""A Kafka and a Redis that were named are asked whether they are there, and whether they are it."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cellnode.launcher import given
from cellnode.launcher.given import check_kafka, check_redis
from cellnode.launcher.places import UpFailed
from services.embedded.redis_process import free_port, tcp_arguments


@pytest.fixture
def quiet() -> Iterator[str]:
    """Somebody who listens and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield "{}:{}".format(*listening.getsockname())


@pytest.fixture
def nobody() -> str:
    return f"127.0.0.1:{free_port()}"


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[int]:
    """The port of a Redis with the password `a/b`."""
    port = free_port()
    command = [*tcp_arguments(port), "--requirepass", "a/b"]
    with subprocess.Popen(command, cwd=tmp_path) as server:
        deadline = time.monotonic() + 5
        while not listens(port):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield port
        server.kill()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_a_broker_that_answers_is_one_also_among_others(kafka: str, nobody: str) -> None:
    await check_kafka(kafka)
    await check_kafka(f"{nobody}, {kafka}")


async def test_without_a_broker_the_address_and_a_remedy_are_told(nobody: str) -> None:
    with pytest.raises(UpFailed, match=rf"{nobody}: Connection refused.*--kafka HOST:PORT"):
        await check_kafka(nobody)


@pytest.mark.parametrize("address", ["127.0.0.1:x", "127.0.0.1:99999", "127.0.0.1:9,:"])
async def test_an_address_that_is_none_is_told(address: str) -> None:
    with pytest.raises(UpFailed, match="no Kafka broker answers"):
        await check_kafka(address)


async def test_who_says_nothing_is_waited_for_no_longer_than_its_seconds(
    quiet: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(given, "ASK_SECONDS_MAX", 0.1)

    with pytest.raises(UpFailed, match=r"no answer in 0\.1 s"):
        await check_kafka(quiet)
    with pytest.raises(UpFailed, match=r"no answer in 0\.1 s"):
        await check_redis(f"redis://{quiet}/0")


async def test_another_server_is_no_broker_and_no_redis(kafka: str) -> None:
    async def polite(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail is welcome here\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(polite, "127.0.0.1", 0) as server:
        address = "{}:{}".format(*server.sockets[0].getsockname())
        with pytest.raises(UpFailed, match="it does not speak Kafka's protocol"):
            await check_kafka(address)
        with pytest.raises(UpFailed, match="it answers '220 mail is welcome here'"):
            await check_redis(f"redis://{address}")


async def test_a_redis_answers_on_its_socket(redis_url: str) -> None:
    await check_redis(redis_url)


async def test_a_password_is_used_and_never_told(locked: int) -> None:
    await check_redis(f"redis://:a%2Fb@127.0.0.1:{locked}/0")

    for wrong in ("", ":wrong@", "nobody:wrong@"):
        with pytest.raises(UpFailed, match=f"redis://127.0.0.1:{locked}/0") as refused:
            await check_redis(f"redis://{wrong}127.0.0.1:{locked}/0")
        assert "wrong" not in str(refused.value).replace("WRONGPASS", "")


async def test_a_redis_that_is_not_there_is_told_with_a_remedy(nobody: str, tmp_path: Path) -> None:
    for url in (f"redis://{nobody}/0", f"unix://{tmp_path}/none"):
        with pytest.raises(UpFailed, match="--redis URL"):
            await check_redis(url)
    for url in (nobody, "redis://host:99999", "redis://[::1", "http://127.0.0.1:1"):
        with pytest.raises(UpFailed, match="for example redis://"):
            await check_redis(url)
