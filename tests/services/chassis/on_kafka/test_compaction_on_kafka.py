"""Compacted partitions of Apache Kafka: holes, ends without a record, a head that was cut off."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.structs import ConsumerRecord

from services.chassis.bus_progress import watch_progress
from services.chassis.clock import SYSTEM_CLOCK
from tests.servers import ApacheKafka, NotInstalled
from tests.servers.topics import DECLARED, fresh_topics
from tests.services.chassis.folding import (
    ALL,
    HOME,
    NODES,
    PLACE,
    node,
    owning,
    reading,
    write,
)
from tests.services.chassis.processes import PARTITIONS, everything
from tests.services.chassis.test_bus_progress import QUICK

pytestmark = pytest.mark.kafka

HOME_PARTITION = TopicPartition(NODES.value, HOME)
COMPACTED_SECONDS_MAX = 30.0
# The next record begins a new segment, and what lies before is compacted, tombstones included.
AT_ONCE = {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.01",
    "segment.ms": "50",
    "delete.retention.ms": "1",
}
Until = Callable[..., Awaitable[None]]


@pytest.fixture(scope="module")
def compacting() -> Iterator[ApacheKafka]:
    try:
        server = ApacheKafka({"log.cleaner.backoff.ms": "50"})
    except NotInstalled as error:
        pytest.skip(str(error))
    with server:
        yield server


@pytest.fixture
def kafka(compacting: ApacheKafka) -> str:
    return _fresh(compacting, AT_ONCE)


@pytest.fixture
def cuttable(compacting: ApacheKafka) -> str:
    """Kafka cuts nothing off a topic that is compacted and no more."""
    return _fresh(compacting, {"cleanup.policy": "compact,delete"})


def _fresh(server: ApacheKafka, nodes: dict[str, str]) -> str:
    configs = {**DECLARED, NODES.value: nodes}
    asyncio.run(fresh_topics(server.address, configs, partitions=PARTITIONS))
    return server.address


async def left_of_home(kafka: str) -> list[ConsumerRecord[bytes, bytes]]:
    """What compaction has left of our key."""
    records = await everything(kafka, NODES.value)
    return [one for one in records if (one.partition, one.key) == (HOME, PLACE.encode())]


async def compacted(kafka: str, count: int) -> list[ConsumerRecord[bytes, bytes]]:
    """Write other keys, so that segments end, until so many records of ours are left."""
    deadline = time.monotonic() + COMPACTED_SECONDS_MAX
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        while len(left := await left_of_home(kafka)) > count:
            assert time.monotonic() < deadline, f"{len(left)} records are left"
            await producer.send_and_wait(NODES.value, b"{}", key=b"other", partition=HOME)
            await asyncio.sleep(0.2)
    return left


async def test_a_zombies_late_write_loses_also_after_compaction(kafka: str, until: Until) -> None:
    """Compaction keeps what came last, whoever wrote it: so the owner's has to be the last."""
    async with owning(kafka), owning(kafka) as owner:
        await owner.owned.put(node(1))
        await write(kafka, node(9), 1, 500)
        await until(lambda: owner.tables.position(NODES, HOME).next_offset >= 5)
        (kept,) = await compacted(kafka, 1)
        async with reading(kafka) as one:
            assert one.generation() == 1
            assert one.tables.is_complete(ALL)
    assert b'"generation":1' in (kept.value or b"")


async def test_a_deleted_key_stays_gone_after_its_tombstone_has_gone_too(kafka: str) -> None:
    async with owning(kafka) as owner:
        await owner.owned.put(node(1))
        await owner.owned.put(node(1, "other-node"))
        await owner.owned.delete(NODES, PLACE, PLACE)
        assert await compacted(kafka, 0) == []
        async with reading(kafka) as one:
            assert one.generation() is None
            assert one.tables.is_complete(ALL), "holes are no loss"
            assert one.generation("other-node") == 1


async def test_an_end_without_a_record_is_reached(kafka: str) -> None:
    """A transaction's mark takes an offset that nobody is given, as copies of a bus leave them."""
    transactional = AIOKafkaProducer(bootstrap_servers=kafka, transactional_id="copy")
    value = node(2).model_dump_json(by_alias=True).encode()
    async with transactional as producer, producer.transaction():
        await producer.send_and_wait(NODES.value, value, key=PLACE.encode(), partition=HOME)

    async with reading(kafka) as one:
        assert one.generation() == 2
        watching = watch_progress(lambda: one.tables._consumer, SYSTEM_CLOCK, **QUICK)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(watching, 1)
        await one.owned.take_over(ALL)
        await one.owned.put(node(3))
        assert one.generation() == 3


async def test_a_table_whose_head_was_cut_off_is_not_complete_until_it_is_written_anew(
    cuttable: str,
) -> None:
    async with owning(cuttable) as owner:
        await owner.owned.put(node(1))
        admin = AIOKafkaAdminClient(bootstrap_servers=cuttable)
        await admin.start()
        await admin.delete_records({HOME_PARTITION: RecordsToDelete(before_offset=1)})
        await admin.close()
        async with reading(cuttable) as one:
            assert not one.tables.is_complete({HOME})
            await owner.owned.republish(NODES, HOME)
            await one.tables.complete(ALL, 10)
            assert one.generation() == 1
