"""The projection on a real Redis: followed, and correct again after whatever happens to it."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from schemas.errors import NotOwner
from schemas.messages import TableRecord
from schemas.projection import ProjectedTable, head_key
from services.chassis.redis import connected
from services.health.projection_fold import TABLES
from tests.builders import a_node
from tests.services.health.projecting import FedTables, Reader, RedisServer, a_projection, running
from tests.services.health.test_nodes import S, an_event
from tests.services.health.test_projection_fold import BY_TOPIC, INSTANCES, NODES

Until = Callable[..., Awaitable[None]]
RECORDS: list[TableRecord] = [record for records in BY_TOPIC.values() for record in records]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def reader(server: RedisServer) -> AsyncIterator[Reader]:
    reader = Reader(server.url)
    yield reader
    await reader.redis.close()


@pytest.fixture
def tables() -> FedTables:
    fed = FedTables()
    for n, record in enumerate(RECORDS):
        fed.put(record, n + 1)
    return fed


async def test_an_empty_partition_is_published_too(server: RedisServer, reader: Reader) -> None:
    """A gateway must be able to tell "nothing there" from "not seen yet"."""
    async with running(FedTables(), server.url):
        await reader.equals(FedTables())

    head = await reader.head()
    assert head.keys() == {"incarnation", "position", "version", "at", "term", "log"}
    assert head["incarnation"]


async def test_an_unfinished_partition_changes_nothing(
    server: RedisServer, reader: Reader, tables: FedTables
) -> None:
    tables.complete = False
    async with running(tables, server.url) as projection:
        tables.put(NODES[0], 100)
        await asyncio.sleep(0.2)
        assert await reader.head() == {}
        tables.complete = True
        await reader.equals(tables)
        assert projection.failures == 0


async def test_changes_are_fed_in_order_one_version_each(
    server: RedisServer, reader: Reader, tables: FedTables
) -> None:
    async with running(tables, server.url):
        await reader.equals(tables)
        before = await reader.head()
        tables.delete(INSTANCES[0], 100)
        tables.put(NODES[1], 101)
        await reader.equals(tables)

    head, feed = await reader.head(), await reader.feed()
    first = int(before["version"])
    assert head["incarnation"] == before["incarnation"]
    assert [one["id"] for one in feed] == [f"{first + n}-0".encode() for n in (1, 2)]
    assert int(head["version"]) == first + 2
    assert [(one["table"], one["key"]) for one in feed] == [
        (b"instance-statuses", INSTANCES[0].key.encode()),
        (b"nodes", NODES[1].key.encode()),
    ]
    assert feed[0]["value"] == b""
    assert feed[1]["value"] == tables.folds[NODES[1].topic].entries[NODES[1].key].value


async def test_a_heartbeat_moves_the_time_and_nothing_else(
    server: RedisServer, reader: Reader, tables: FedTables, until: Until
) -> None:
    async with running(tables, server.url) as projection:
        await reader.equals(tables)
        before, beat = await reader.head(), projection.beat_at
        await until(lambda: projection.beat_at != beat, 2)
        await until(lambda: (projection.beat_at or 0) > (beat or 0) + 0.3, 3)
        after = await reader.head()

    assert int(after.pop("at")) > int(before.pop("at"))
    assert after == before


async def test_a_flushed_redis_is_rebuilt_though_nothing_happens(
    server: RedisServer, reader: Reader, tables: FedTables
) -> None:
    async with running(tables, server.url):
        await reader.equals(tables)
        before = await reader.head()
        await reader.redis.command("FLUSHALL")
        await reader.equals(tables, 3)

    after = await reader.head()
    assert after["incarnation"] != before["incarnation"]
    assert int(after["version"]) > int(before["version"])


async def test_a_flush_while_everything_changes_loses_nothing(
    server: RedisServer, reader: Reader, tables: FedTables
) -> None:
    async with running(tables, server.url):
        await reader.equals(tables)
        for seq in range(100, 200):
            tables.put(INSTANCES[seq % 6], seq)
            if seq % 25 == 0:
                await reader.redis.command("FLUSHALL")
            await asyncio.sleep(0.003)
        await reader.equals(tables)


async def test_a_redis_that_comes_back_empty_is_filled(
    server: RedisServer, reader: Reader, tables: FedTables
) -> None:
    async with running(tables, server.url) as projection:
        await reader.equals(tables)
        server.kill()
        tables.put(NODES[0], 100)
        tables.delete(INSTANCES[0], 101)
        await asyncio.sleep(0.3)
        assert projection.failures > 0
        server.start()
        await reader.equals(tables)


async def test_a_redis_restored_from_an_old_image_is_rebuilt(
    server: RedisServer, reader: Reader, tables: FedTables
) -> None:
    async with running(tables, server.url):
        await reader.equals(tables)
        await reader.redis.command("SAVE")
        shutil.copy(server.directory / "dump.rdb", server.directory / "old.rdb")
        tables.delete(INSTANCES[0], 100)
        await reader.equals(tables)
        server.kill()
        shutil.copy(server.directory / "old.rdb", server.directory / "dump.rdb")
        server.start()
        assert (await reader.tables())[ProjectedTable.INSTANCE_STATUSES].keys() == {
            event.key for event in INSTANCES
        }, "the image was not restored"
        await reader.equals(tables)


async def test_a_redis_that_stands_still_is_caught_up_with(
    server: RedisServer, reader: Reader, tables: FedTables, until: Until
) -> None:
    async with running(tables, server.url, timeout_seconds=0.3) as projection:
        await reader.equals(tables)
        assert server.process is not None
        server.process.send_signal(signal.SIGSTOP)
        tables.put(NODES[0], 100)
        await until(lambda: projection.failures > 1)
        tables.put(NODES[1], 101)
        server.process.send_signal(signal.SIGCONT)
        await reader.equals(tables)


@pytest.mark.parametrize(
    "spoil",
    [
        ["HSET", "<table>", "default/a", "{}"],
        ["HSET", "<table>", "default/stranger", "{}"],
        ["HDEL", "<table>", "default/a"],
        ["DEL", "<table>"],
        ["SET", "<table>", "no hash"],
        ["SET", "<head>", "no hash"],
        ["HSET", "<head>", "version", "many"],
        ["HDEL", "<head>", "incarnation"],
        ["XADD", "<feed>", "9999999999-0", "a", "b"],
    ],
    ids=lambda spoil: f"{spoil[0]} {spoil[1]}",
)
async def test_what_others_write_is_put_right(
    server: RedisServer, reader: Reader, tables: FedTables, spoil: list[str]
) -> None:
    async with running(tables, server.url):
        await reader.equals(tables)
        incarnation = (await reader.head())["incarnation"]
        table = reader.key(incarnation, ProjectedTable.NODES)
        names = {"<table>": table, "<head>": head_key(reader.partition)}
        names["<feed>"] = table.replace("nodes", "feed")
        await reader.redis.command(
            *(part.format(**names) if "{" in part and part != "{}" else part for part in spoil)
        )
        tables.put(NODES[2], 100)
        await asyncio.sleep(0.05)
        await reader.equals(tables)
        await _is_followable(reader, tables)


async def _is_followable(reader: Reader, tables: FedTables) -> None:
    """The head counts, and a change more arrives as the next version."""
    for seq in (200, 201):
        tables.put(NODES[2], seq)
        await reader.equals(tables)
    head, feed = await reader.head(), await reader.feed()
    assert feed[-1]["id"] == f"{head['version']}-0".encode()


async def test_of_two_projections_the_older_term_gives_up(
    server: RedisServer, reader: Reader, tables: FedTables
) -> None:
    async with connected(server.url) as redis, running(tables, server.url, term=2):
        await reader.equals(tables)
        incarnation = (await reader.head())["incarnation"]
        zombie = a_projection(FedTables(), redis, term=1)
        with pytest.raises(NotOwner):
            await asyncio.wait_for(zombie.run(), 1)
        assert (await reader.head())["incarnation"] == incarnation
        await reader.equals(tables)


async def test_a_projection_gives_up_when_a_successor_has_taken_over(
    server: RedisServer, reader: Reader, tables: FedTables
) -> None:
    async with connected(server.url) as redis:
        zombie = asyncio.create_task(a_projection(tables, redis, term=1).run())
        await reader.equals(tables)
        async with running(tables, server.url, term=2):
            with pytest.raises(NotOwner):
                await asyncio.wait_for(zombie, 2)
            await reader.equals(tables)


async def test_old_incarnations_vanish(
    server: RedisServer, reader: Reader, tables: FedTables
) -> None:
    async with running(tables, server.url):
        await reader.equals(tables)
        old = (await reader.head())["incarnation"]
    async with running(tables, server.url, term=2):
        new = await reader.replaced(old)
    ttl = {
        one: [await reader.redis.command("TTL", reader.key(one, table)) for table in TABLES]
        for one in (old, new)
    }

    assert all(0 < int(str(seconds)) <= 60 for seconds in ttl[old])
    assert set(ttl[new]) == {-1}


async def test_very_many_changes_at_once_are_a_rebuild(
    server: RedisServer, reader: Reader, tables: FedTables
) -> None:
    async with running(tables, server.url):
        await reader.equals(tables)
        before = await reader.head()
        node = a_node("many", instances={"min": 1, "want": 1000})
        for n in range(1, 2_100):
            tables.put(an_event(node, n, S.UNDEFINED), 1000 + n)
        await reader.equals(tables)

    assert (await reader.head())["incarnation"] != before["incarnation"]
    assert await reader.feed() == []
