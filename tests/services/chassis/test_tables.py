"""Tables on a real broker: folded from the start, complete or known not to be, never stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from schemas.errors import BusUnavailable
from schemas.topics import Topic
from services.chassis.tables import Batch
from services.embedded.broker import EmbeddedBroker
from tests.services.chassis.folding import (
    ALL,
    HOME,
    NODES,
    PLACE,
    folding,
    node,
    owning,
    reading,
    write,
)
from tests.services.chassis.processes import everything, send

Until = Callable[..., Awaitable[None]]


async def test_empty_tables_are_complete_at_once(kafka: str) -> None:
    async with folding(kafka) as one:
        assert not one.tables.is_complete(ALL)
        await one.tables.assign(ALL)
        await one.tables.complete(ALL, 5)
        assert one.tables.is_complete(ALL)
        assert one.tables.records(NODES) == []


async def test_a_reader_knows_what_was_there_and_hears_what_comes(kafka: str, until: Until) -> None:
    await write(kafka, node(1), 1, 1)
    async with reading(kafka) as one:
        assert one.generation() == 1
        await write(kafka, node(2), 1, 2)
        await until(lambda: one.generation() == 2)
        await write(kafka, None, 1, 3)
        await until(lambda: one.generation() is None)
        home = [batch for batch in one.batches if (batch.topic, batch.partition) == (NODES, HOME)]
    told = [change.record for batch in home for change in batch.changes]
    assert [getattr(record, "generation", None) for record in told] == [1, 2, None]
    assert [batch.is_rebuilt for batch in home] == [True, False, False]
    assert [batch.position.next_offset for batch in home] == [1, 2, 3]


async def test_who_listens_from_the_start_hears_every_record_that_was_there(
    kafka: str, until: Until
) -> None:
    for generation in (1, 2):
        await write(kafka, node(generation), 1, generation)
    await write(kafka, None, 1, 3)
    told: list[Batch] = []
    async with folding(kafka) as one:
        one.tables.listen_from_start(told.append)
        await one.tables.assign(ALL)
        await one.tables.caught_up(ALL, 5)
        await write(kafka, node(4), 1, 4)
        await until(lambda: one.generation() == 4)
    home = [batch for batch in told if (batch.topic, batch.partition) == (NODES, HOME)]
    history = [change for batch in home if batch.is_history for change in batch.changes]
    assert [getattr(one.record, "generation", None) for one in history] == [1, 2, None]
    assert [one.offset for one in history] == [0, 1, 2]
    assert all(one.timestamp_ms for one in history)
    live = [change.offset for batch in home if not batch.is_history for change in batch.changes]
    assert live == [3], "what was told as history is not told again"


async def test_the_bytes_on_the_topic_are_kept_with_their_unknown_fields(kafka: str) -> None:
    """I8: a record of the next version is read by this one, and nothing of it is lost."""
    value = node(7).model_dump_json(by_alias=True)[:-1] + ', "later": {"a": 1}}'
    await send(kafka, NODES.value, PLACE, value.encode())
    async with reading(kafka) as one:
        entry = one.tables.entry(NODES, PLACE)
    assert entry is not None
    assert entry.value == value.encode()
    assert entry.record.model_extra == {"later": {"a": 1}}


@pytest.mark.parametrize("poison", [b"not json", b'{"kind": "Node"}', b"\xff", b"[" * 5_000])
async def test_what_is_no_record_is_buried_and_the_rest_is_read(kafka: str, poison: bytes) -> None:
    await send(kafka, NODES.value, PLACE, poison, headers=[("x", None), ("y", b"\xff")])
    await send(kafka, NODES.value, PLACE, b"{}", key=b"\xff\xfe")
    await write(kafka, node(1), 1, 1)
    async with reading(kafka) as one:
        assert one.generation() == 1
    letters = await everything(kafka, "cellnode.dead-letters")
    assert [letter.value for letter in letters] == [poison, b"{}"]


async def test_a_record_of_a_smaller_term_loses_after_the_owners_mark(
    kafka: str, until: Until
) -> None:
    async with owning(kafka) as owner, reading(kafka) as one:
        await owner.owned.put(node(1))
        await write(kafka, node(9), 0, 99)
        await owner.owned.put(node(2))
        await until(lambda: one.generation() == 2)
        told = [c.record for batch in one.batches for c in batch.changes if c.key == PLACE]
    assert {getattr(record, "generation", None) for record in told} == {1, 2}


async def test_of_one_term_the_larger_number_wins_whatever_the_offset(
    kafka: str, until: Until
) -> None:
    await write(kafka, node(2), 3, 20)
    await write(kafka, node(1), 3, 10)
    await write(kafka, node(2), 3, 20)  # A repeat.
    await write(kafka, None, 3, 15)  # A late tombstone.
    async with reading(kafka) as one:
        assert one.generation() == 2
        await write(kafka, None, 3, 21)
        await until(lambda: one.generation() is None)
        await write(kafka, node(2), 3, 20)
        await until(lambda: one.tables.position(NODES, HOME).next_offset == 6)
        assert one.generation() is None


async def test_partitions_come_and_go_while_reading_goes_on(kafka: str, until: Until) -> None:
    await write(kafka, node(1), 1, 1)
    others = ALL - {HOME}
    async with folding(kafka) as one:
        await one.tables.assign(others)
        await one.tables.caught_up(others, 5)
        assert one.generation() is None
        await one.tables.assign(ALL)
        await one.tables.caught_up(ALL, 5)
        assert one.generation() == 1
        await one.tables.assign({HOME})
        await write(kafka, node(2), 1, 2)
        await until(lambda: one.generation() == 2)
        await one.tables.assign([])
        assert one.generation() is None


async def test_a_broker_that_was_away_is_read_on_where_reading_stood(
    broker: EmbeddedBroker, until: Until
) -> None:
    async with reading(broker.address) as one:
        await write(broker.address, node(1), 1, 1)
        await until(lambda: one.generation() == 1)
        broker.down()
        await asyncio.sleep(0.3)
        broker.up()
        await write(broker.address, node(2), 1, 2)
        await until(lambda: one.generation() == 2)
        assert one.process.failure is None


async def test_what_the_broker_forgot_makes_a_table_incomplete(kafka: str) -> None:
    """E1, K8: no silent gap. The newest 5 MiB are there, and that they are not all is known."""
    for number in range(1, 150):
        await write(kafka, node(number, cell="#" * 60_000), 1, number)
    async with reading(kafka) as one:
        assert one.generation() == 149
        assert not one.tables.is_complete({HOME})
        assert one.tables.is_complete(ALL - {HOME}), "others are whole"
        assert one.tables.is_complete({HOME}, [Topic.OUTCOMES])
        with pytest.raises(BusUnavailable, match="complete"):
            await one.tables.complete(ALL, 0.1)


async def test_a_reader_that_fell_behind_what_the_broker_keeps_folds_again(
    kafka: str, until: Until
) -> None:
    """An offset that is gone is an event: all is folded from the start that exists now."""
    async with reading(kafka) as one:
        await write(kafka, node(1), 1, 1)
        await until(lambda: one.generation() == 1)
        consumer = one.tables._consumer
        (place,) = (one for one in consumer.assignment() if one == (NODES.value, HOME))
        consumer.seek(place, 10_000)
        await write(kafka, node(2), 1, 2)
        await until(lambda: one.generation() == 2)
        home = [batch for batch in one.batches if (batch.topic, batch.partition) == (NODES, HOME)]
        assert [batch.is_rebuilt for batch in home] == [True, False, True]
        assert one.process.failure is None
