"""One writer of a partition: by term, read back, defended against those who were owners once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiokafka import TopicPartition

from schemas.errors import NotOwner
from schemas.topics import Topic
from services.chassis.bus import Consumers
from services.chassis.tables_owner import OwnedTables
from services.embedded.broker import EmbeddedBroker
from tests.services.chassis.folding import (
    ALL,
    HOME,
    NODES,
    PLACE,
    Folding,
    folding,
    node,
    owning,
    reading,
    write,
)
from tests.services.chassis.processes import PARTITIONS, everything, headers_of

Until = Callable[..., Awaitable[None]]


async def marks(kafka: str, topic: Topic) -> dict[int, list[dict[str, Any]]]:
    """The owners' marks of every partition, in order."""
    found: dict[int, list[dict[str, Any]]] = {number: [] for number in range(PARTITIONS)}
    for record in await everything(kafka, topic.value):
        if record.key == b"~owner":
            found[record.partition].append(json.loads(record.value))
    return found


async def test_an_owner_marks_outcomes_first_then_every_table(kafka: str) -> None:
    async with owning(kafka) as one:
        assert one.owned.partitions == ALL
        assert one.owned.term(HOME) == 1
    for topic in (Topic.OUTCOMES, NODES):
        for (mark,) in (await marks(kafka, topic)).values():
            assert (mark["term"], mark["owner"]) == (1, one.owned.owner_id)
    outcomes = [r.timestamp for r in await everything(kafka, Topic.OUTCOMES.value)]
    nodes = [r.timestamp for r in await everything(kafka, NODES.value)]
    assert max(outcomes[:1]) <= min(nodes)


async def test_the_next_owner_takes_a_larger_term_and_keeps_the_logs_id(kafka: str) -> None:
    async with owning(kafka) as first:
        await first.owned.put(node(1))
    async with owning(kafka) as second:
        assert second.owned.term(HOME) == 2
        assert second.generation() == 1
        stamped = await second.owned.put(node(2))
    assert stamped.order == (2, 3)  # After the marks of both tables.
    old, new = (await marks(kafka, NODES))[HOME]
    assert old["log"] == new["log"]
    assert old["owner"] != new["owner"]


async def test_a_term_is_larger_than_any_record_shows_even_without_marks(kafka: str) -> None:
    """The launcher's journal brings records back into a new broker, without their marks."""
    await write(kafka, node(1), 7, 3)
    async with owning(kafka) as one:
        assert one.owned.term(HOME) == 8
        assert one.generation() == 1


async def test_what_was_put_was_read_back_and_stamped_in_body_and_headers(kafka: str) -> None:
    async with owning(kafka) as one:
        stamped = await one.owned.put(node(3))
        assert one.tables.get(NODES, PLACE) == stamped
        assert one.owned.get(NODES, PLACE, PLACE) == stamped
        await one.owned.delete(NODES, PLACE, PLACE)
        assert one.tables.get(NODES, PLACE) is None
    _, record, tombstone = [r for r in await everything(kafka, NODES.value) if r.partition == HOME]
    body = json.loads(record.value)
    assert (body["term"], body["seq"]) == stamped.order == (1, 3)
    assert headers_of(record).items() >= {"cellnode-term": "1", "cellnode-seq": "3"}.items()
    assert tombstone.value is None
    assert headers_of(tombstone).items() >= {"cellnode-term": "1", "cellnode-seq": "4"}.items()


async def test_a_write_that_is_not_waited_for_is_seen_by_its_writer_at_once(kafka: str) -> None:
    async with owning(kafka) as one:
        for generation in range(1, 30):
            await one.owned.put(node(generation), read_back=False)
            known = one.owned.get(NODES, PLACE, PLACE)
            assert known is not None
            assert known.order[1] == generation + 2
        (present,) = one.owned.records(NODES)
        assert present == known


async def test_nothing_is_written_to_a_partition_that_is_not_owned(kafka: str) -> None:
    async with folding(kafka) as one:
        with pytest.raises(NotOwner):
            await one.owned.put(node(1))
        await one.owned.take_over(ALL)
        await one.owned.put(node(1))
        one.owned.release({HOME})
        with pytest.raises(NotOwner):
            await one.owned.delete(NODES, PLACE, PLACE)
        assert one.generation() == 1, "it stays readable"


async def test_an_owner_that_sees_a_larger_term_stops(kafka: str, until: Until) -> None:
    """A paused owner wakes up: its writes lose, and it ends."""
    async with owning(kafka) as zombie, owning(kafka) as owner:
        await until(lambda: zombie.process.failure is not None)
        assert isinstance(zombie.process.failure, NotOwner)
        with pytest.raises(NotOwner):
            await zombie.owned.put(node(9))
        await owner.owned.put(node(1))
        assert owner.process.failure is None


async def test_a_zombies_late_write_is_written_over_for_every_later_reader(
    kafka: str, until: Until
) -> None:
    """Compaction would keep the zombie's record, as the last of its key; so ours comes last."""
    async with owning(kafka), owning(kafka) as owner:
        await owner.owned.put(node(1))
        await write(kafka, node(9), 1, 500)
        await until(lambda: len(_home(owner)) == 1)
        records = [r for r in await everything(kafka, NODES.value) if r.key == PLACE.encode()]
    generations = [json.loads(record.value)["generation"] for record in records]
    assert generations == [1, 9, 1]


def _home(one: Folding) -> list[int]:
    """Changes of the node after its first record, as the owner sees them."""
    told = [change for batch in one.batches for change in batch.changes if change.key == PLACE]
    return [change.entry.order[1] for change in told[1:] if change.entry is not None]


async def test_a_zombies_write_of_a_deleted_key_is_deleted_again(kafka: str, until: Until) -> None:
    async with owning(kafka), owning(kafka) as owner:
        await owner.owned.put(node(1))
        await owner.owned.delete(NODES, PLACE, PLACE)
        await write(kafka, node(9), 1, 500)
        await until(lambda: owner.tables.position(NODES, HOME).next_offset == 6)
        last = (await everything(kafka, NODES.value))[-1]
        records = [r for r in await everything(kafka, NODES.value) if r.partition == HOME]
        assert owner.generation() is None
    assert (records[-1].key, records[-1].value) == (PLACE.encode(), None), last


async def test_two_that_take_over_at_once_end_with_one_owner(kafka: str, until: Until) -> None:
    async with folding(kafka) as one, folding(kafka) as other:
        await asyncio.gather(
            one.owned.take_over(ALL), other.owned.take_over(ALL), return_exceptions=True
        )
        await until(lambda: bool(one.process.failure) != bool(other.process.failure))
        owner = other if one.process.failure else one
        await owner.owned.put(node(1))
        assert owner.generation() == 1


async def test_a_whole_table_survives_a_bus_that_keeps_five_mebibytes(
    kafka: str, until: Until
) -> None:
    """E1: the owner writes its whole table again every so often; a new reader knows all of it."""
    settings = {"cellnode_republish_bytes": 2_097_152}
    async with owning(kafka, **settings) as owner:
        await owner.owned.put(node(1, "first"), read_back=False)
        await owner.owned.put(node(1, "gone"), read_back=False)
        await owner.owned.delete(NODES, "default/gone", "default/gone")
        for number in range(1, 300):
            await owner.owned.put(node(number, cell="#" * 60_000), read_back=False)
        async with reading(kafka) as one:
            await one.tables.complete(ALL, 10)
            assert one.tables.is_complete(ALL)
            assert one.generation() == 299
            assert one.generation("first") == 1
            assert one.generation("gone") is None
        assert owner.process.failure is None


async def test_a_republication_ends_ghosts_whose_tombstones_were_missed(
    kafka: str, until: Until
) -> None:
    """K9: a reader that missed a tombstone learns from the whole table that the key is gone."""
    async with owning(kafka) as owner, reading(kafka) as one:
        await owner.owned.put(node(1))
        await until(lambda: one.generation() == 1)
        owner.tables.fold(NODES, HOME).entries.pop(PLACE)  # As if deleted long ago.
        await owner.owned.republish(NODES, HOME)
        await until(lambda: one.generation() is None)


async def test_writes_during_a_republication_are_the_last_word(kafka: str, until: Until) -> None:
    async with owning(kafka) as owner:
        await asyncio.gather(*(owner.owned.put(node(1, f"n{i}")) for i in range(300)))
        partitions = {n: owner.owned.republish(NODES, n) for n in ALL}
        puts = [owner.owned.put(node(2, f"n{i}")) for i in range(0, 300, 2)]
        await asyncio.gather(*partitions.values(), *puts)
        async with reading(kafka) as one:
            found = {i: one.generation(f"n{i}") for i in range(300)}
    assert found == {i: 2 if i % 2 == 0 else 1 for i in range(300)}


async def test_ownership_follows_the_groups_assignment(kafka: str, until: Until) -> None:
    """The group assigns one topic; the same partitions of all tables are taken over with it."""
    async with folding(kafka) as one:
        acted: list[frozenset[int]] = []

        async def act(partitions: frozenset[int]) -> None:
            acted.append(partitions)

        one.owned.after_take_over(act)
        one.bus.attach(Consumers(NODES, group="health", ownership=one.owned))
        async with one.bus.consuming():
            await asyncio.wait_for(one.bus.joined(), 10)
            assert one.owned.partitions == ALL
            assert acted == [ALL]
            await one.owned.put(node(1))
        assert one.process.failure is None


async def test_an_owner_waits_for_a_broker_that_is_away(
    broker: EmbeddedBroker, until: Until
) -> None:
    async with owning(broker.address, cellnode_republish_bytes=1) as one:
        broker.down()
        await asyncio.sleep(0.2)
        broker.up()
        for _ in range(3):
            await one.owned.put(node(1))
        assert one.process.failure is None


async def test_a_write_that_ends_after_its_partition_was_released_is_no_success(
    kafka: str,
) -> None:
    """Perhaps a next term was marked before it: then it has lost."""
    async with owning(kafka) as one:
        writing = asyncio.create_task(one.owned.put(node(1), read_back=False))
        await asyncio.sleep(0)
        one.owned.release([HOME])
        with pytest.raises(NotOwner):
            await writing


async def test_what_was_written_after_a_larger_mark_is_never_proven(kafka: str) -> None:
    """Who was paused while it took over may mark at any time; its group gave it nothing."""
    async with owning(kafka) as first:
        partition = first.owned._of(HOME)
        await partition.put(node(1), read_back=False)
        await partition.proven(NODES)
        async with owning(kafka):
            partition.is_released = False  # As if nobody had told it yet.
            await partition.put(node(2), read_back=False)
            with pytest.raises(NotOwner):
                await partition.proven(NODES)


async def test_who_takes_over_again_has_read_what_others_stood_on(
    kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what is only not read yet would look as if it were gone."""
    async with folding(kafka) as one:
        owned = OwnedTables(one.process, one.bus, one.tables, [Topic.OUTCOMES])
        await owned.take_over(ALL)
        owned.release(ALL)
        consumer, place = one.tables._consumer, TopicPartition(NODES.value, HOME)
        assign = consumer.assign

        def assign_and_lag(partitions: list[TopicPartition]) -> None:
            assign(partitions)
            consumer.pause(place)

        monkeypatch.setattr(consumer, "assign", assign_and_lag)
        consumer.pause(place)
        await write(kafka, node(7), 1, 1)
        taking = asyncio.create_task(owned.take_over(ALL))
        await asyncio.wait({taking}, timeout=1)
        assert not taking.done()
        consumer.resume(place)
        await taking
        assert one.generation() == 7
