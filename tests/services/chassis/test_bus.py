"""The one delivery policy on a real broker: nothing lost, nothing stuck, nothing out of order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from schemas.commands import AnyCommand, DeployNode, RecreateNode
from schemas.errors import BusUnavailable, TransientError
from schemas.ids import partition_of
from schemas.topics import Topic
from services.chassis.bus import Bus, Consumers
from services.embedded.broker import EmbeddedBroker
from tests.builders import a_deploy, an_id
from tests.services.chassis.processes import (
    PARTITIONS,
    a_process,
    committed,
    consuming,
    everything,
    headers_of,
    send,
)

COMMANDS, DEAD = "cellnode.commands", "cellnode.dead-letters"
PLACE = "default/digits"
HOME = partition_of(PLACE, PARTITIONS)
Until = Callable[..., Awaitable[None]]


def a_recreate(number: int, node: str = "digits") -> RecreateNode:
    return RecreateNode(id=an_id(number), node=node)


def a_bus(kafka: str, handler: Callable[[AnyCommand], Awaitable[None]], **settings: Any) -> Bus:
    """A bus that hands commands to the handler, in the group `tests`."""
    bus = Bus(a_process(kafka, **settings))
    consumers = Consumers(Topic.COMMANDS, group="tests")

    @consumers.handle
    async def handle(command: AnyCommand) -> None:
        await handler(command)

    bus.attach(consumers)
    return bus


class Numbers:
    """Notes the number of every command; may be told to fail first."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.seen: list[int] = []

    async def __call__(self, command: AnyCommand) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.seen.append(command.id.int)


async def test_commands_arrive_typed_and_in_order_and_are_committed(
    kafka: str, until: Until
) -> None:
    seen: list[AnyCommand] = []

    async def note(command: AnyCommand) -> None:
        seen.append(command)

    deploy = a_deploy("digits", number=1, inputs=[{"name": "x", "schema": {"type": "array"}}])
    async with consuming(bus := a_bus(kafka, note)):
        await bus.publish(deploy)
        for number in range(2, 20):
            await bus.publish(a_recreate(number))
        await until(lambda: len(seen) == 19)
    assert isinstance(seen[0], DeployNode)
    assert seen[0] == deploy
    assert [command.id.int for command in seen] == list(range(1, 20))
    assert await committed(kafka, "tests", COMMANDS) == {HOME: 19}


async def test_a_handler_that_was_not_ready_is_called_again(kafka: str, until: Until) -> None:
    numbers = Numbers(TransientError("busy"), TransientError("busy"))
    async with consuming(bus := a_bus(kafka, numbers)):
        await bus.publish(a_recreate(1))
        await until(lambda: numbers.seen == [1])
    assert await everything(kafka, DEAD) == []


async def test_a_handler_with_a_bug_buries_its_record_and_the_next_is_handled(
    kafka: str, until: Until
) -> None:
    """F3, F4, F16: neither lost, nor repeated for ever, nor in the way of others."""
    numbers = Numbers(KeyError("bug"))
    async with consuming(bus := a_bus(kafka, numbers)):
        await bus.publish(a_recreate(1))
        await bus.publish(a_recreate(2))
        await until(lambda: numbers.seen == [2])
    (letter,) = await everything(kafka, DEAD)
    told = headers_of(letter)
    assert letter.value == a_recreate(1).model_dump_json().encode()
    assert letter.key == PLACE.encode()
    assert told["x-error"] == "KeyError: 'bug'"
    assert (told["x-topic"], told["x-partition"], told["x-offset"]) == (COMMANDS, str(HOME), "0")
    assert told["x-attempts"] == "1"


@pytest.mark.parametrize(
    "poison",
    [
        b"not json",
        b"",
        None,
        b"\xff\xfe",
        b'{"kind": "Unknown", "id": 1}',
        b'{"kind": "RecreateNode"}',
        b"[" * 10_000,
        b"1" * 900_000,
    ],
    ids=["text", "empty", "tombstone", "bytes", "kind", "fields", "deep", "large"],
)
async def test_what_cannot_be_read_is_buried_and_blocks_nothing(
    kafka: str, until: Until, poison: bytes | None
) -> None:
    """F8, F10: the handler is never entered, the raw bytes are kept."""
    numbers = Numbers()
    async with consuming(bus := a_bus(kafka, numbers)):
        await send(kafka, COMMANDS, PLACE, poison)
        await bus.publish(a_recreate(2))
        await until(lambda: numbers.seen == [2])
    (letter,) = await everything(kafka, DEAD)
    assert letter.value == poison
    assert await committed(kafka, "tests", COMMANDS) == {HOME: 2}


async def test_headers_that_are_null_or_not_text_do_not_hide_a_record(
    kafka: str, until: Until
) -> None:
    """F7: FastStream's own parser would skip it and commit past it."""
    numbers = Numbers()
    value = a_recreate(1).model_dump_json().encode()
    headers = [("a", None), ("b", b"\xff\xfe"), ("content-type", b"text/plain")]
    async with consuming(a_bus(kafka, numbers)):
        await send(kafka, COMMANDS, PLACE, value, headers=headers)
        await until(lambda: numbers.seen == [1])
    assert await everything(kafka, DEAD) == []


async def test_a_record_in_a_wrong_partition_is_forwarded_before_it_is_handled(
    kafka: str, until: Until
) -> None:
    """A11: a foreign producer partitions keys in its own way."""
    numbers = Numbers()
    value, elsewhere = a_recreate(1).model_dump_json().encode(), (HOME + 1) % PARTITIONS
    async with consuming(a_bus(kafka, numbers)):
        given = {"partition": elsewhere, "key": None, "headers": [("who", b"\xff")]}
        await send(kafka, COMMANDS, PLACE, value, timestamp_ms=1_700_000_000_000, **given)
        await until(lambda: numbers.seen == [1])
    records = {record.partition: record for record in await everything(kafka, COMMANDS)}
    assert records[HOME].value == value
    assert records[HOME].key == PLACE.encode()
    assert records[HOME].timestamp == 1_700_000_000_000
    assert list(records[HOME].headers) == [("who", b"\xff"), ("cellnode-hops", b"1")]


async def test_a_record_that_was_forwarded_twice_is_buried(kafka: str, until: Until) -> None:
    numbers, elsewhere = Numbers(), (HOME + 1) % PARTITIONS
    given = {"partition": elsewhere, "headers": [("cellnode-hops", b"2")]}
    async with consuming(bus := a_bus(kafka, numbers)):
        await send(kafka, COMMANDS, PLACE, a_recreate(1).model_dump_json().encode(), **given)
        await bus.publish(a_recreate(2))
        await until(lambda: numbers.seen == [2])
        await until(lambda: bus._process.metrics.text().count(b'fate="buried"'))
    (letter,) = await everything(kafka, DEAD)
    assert headers_of(letter)["x-error"].startswith("WrongPartition")


async def test_what_stays_impossible_stops_the_process_and_commits_nothing(
    kafka: str, until: Until
) -> None:
    """F13, F16: the record waits for the next process, and nothing behind it passes it."""
    numbers = Numbers(*(TransientError("away") for _ in range(3)))
    bus = a_bus(kafka, numbers)
    async with consuming(bus):
        for number in (1, 2, 3):
            await bus.publish(a_recreate(number))
        await until(lambda: bus._process.failure is not None)
    assert numbers.seen == []
    assert await committed(kafka, "tests", COMMANDS) == {}
    async with consuming(a_bus(kafka, numbers)):
        await until(lambda: numbers.seen == [1, 2, 3])


async def test_a_broker_that_is_away_is_said_in_time_and_waited_for(
    broker: EmbeddedBroker, until: Until
) -> None:
    """A6: every send has a deadline; what was not acknowledged may have been written."""
    numbers = Numbers()
    async with consuming(bus := a_bus(broker.address, numbers, send_timeout_seconds=0.3)):
        await bus.publish(a_recreate(1))
        await until(lambda: numbers.seen == [1])
        broker.down()
        with pytest.raises(BusUnavailable):
            await asyncio.wait_for(bus.publish(a_recreate(2)), 2)
        broker.up()
        await _published(bus, a_recreate(3))
        await until(lambda: numbers.seen[-1] == 3)
    assert set(numbers.seen) <= {1, 2, 3}


async def test_a_producer_that_keeps_failing_is_replaced(
    broker: EmbeddedBroker, until: Until
) -> None:
    """A5: an idempotent producer may never recover by itself."""
    process = a_process(broker.address, send_timeout_seconds=0.2)
    async with Bus(process) as bus:
        first = bus._line._producer
        broker.down()
        for number in range(3):
            with pytest.raises(BusUnavailable):
                await bus.publish(a_recreate(number))
        broker.up()
        await until(lambda: bus._line._producer is not first)
        await _published(bus, a_recreate(9))
    assert str(an_id(9)).encode() in (await everything(broker.address, COMMANDS))[-1].value


async def test_a_restarted_member_hears_again_within_a_few_seconds(
    kafka: str, until: Until
) -> None:
    """E5: on the embedded broker every later join waits for the session, which is short there."""
    numbers = Numbers()
    for number in (1, 2):
        async with consuming(bus := a_bus(kafka, numbers)):
            await bus.publish(a_recreate(number))
            await until(lambda wanted=number: len(numbers.seen) == wanted, seconds=5)
    assert numbers.seen == [1, 2]


async def test_a_stop_waits_for_the_handler_that_runs(kafka: str, until: Until) -> None:
    """F12: it finishes and is committed before the group is left."""
    entered, finished = asyncio.Event(), asyncio.Event()

    async def slow(_: AnyCommand) -> None:
        entered.set()
        await asyncio.sleep(0.3)
        finished.set()

    async with consuming(bus := a_bus(kafka, slow)):
        await bus.publish(a_recreate(1))
        await entered.wait()
    assert finished.is_set()
    assert await committed(kafka, "tests", COMMANDS) == {HOME: 1}


def test_every_subscriber_is_manual_and_single(kafka: str) -> None:
    """F1, F2, F6, F11: another policy, batches or several at once would lose or reorder."""
    bus = a_bus(kafka, Numbers())
    subscriber: Any
    (subscriber,) = bus._broker.subscribers
    assert type(subscriber).__name__ == "DefaultSubscriber"
    assert subscriber.ack_policy.name == "MANUAL"
    assert subscriber._connection_args["auto_offset_reset"] == "earliest"
    assert subscriber._connection_args["enable_auto_commit"] is False


async def _published(bus: Bus, command: AnyCommand) -> None:
    """Once the broker takes records again."""
    for _ in range(40):
        try:
            return await bus.publish(command)
        except BusUnavailable:
            await asyncio.sleep(0.05)
    raise AssertionError("the bus does not recover")
