"""Records larger than this, the broker or a topic allows: said or put aside, never in the way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from schemas.errors import DomainError
from tests.builders import a_deploy
from tests.servers import ApacheKafka
from tests.servers.topics import DECLARED, fresh_topics
from tests.services.chassis.processes import (
    PARTITIONS,
    committed,
    consuming,
    everything,
    headers_of,
    send,
)
from tests.services.chassis.test_bus import COMMANDS, DEAD, HOME, PLACE, Numbers, a_bus, a_recreate

pytestmark = pytest.mark.kafka

SMALL_BYTES = 20_000
Until = Callable[..., Awaitable[None]]


def with_small(apache_kafka: ApacheKafka, topic: str) -> str:
    """Fresh topics, of which one takes small records only; the broker's address."""
    configs = {**DECLARED, topic: {**DECLARED[topic], "max.message.bytes": str(SMALL_BYTES)}}
    asyncio.run(fresh_topics(apache_kafka.address, configs, partitions=PARTITIONS))
    return apache_kafka.address


@pytest.fixture
def small_letters(apache_kafka: ApacheKafka) -> str:
    return with_small(apache_kafka, DEAD)


@pytest.fixture
def small_commands(apache_kafka: ApacheKafka) -> str:
    return with_small(apache_kafka, COMMANDS)


@pytest.mark.parametrize("size", [1_000_100, 1_040_000])
async def test_a_poison_larger_than_what_we_send_is_put_aside_in_part(
    kafka: str, until: Until, size: int
) -> None:
    """Outside programs may send as much as the broker takes, which is more than we do."""
    numbers = Numbers()
    async with consuming(bus := a_bus(kafka, numbers, send_timeout_seconds=10.0)):
        await send(kafka, COMMANDS, PLACE, b"x" * size, max_request_size=2_000_000)
        await bus.publish(a_recreate(2))
        await until(lambda: numbers.seen == [2] or bus._process.failure)
    (letter,) = await everything(kafka, DEAD)
    told = headers_of(letter)
    assert letter.value is not None
    assert (b"x" * size).startswith(letter.value)
    assert told["x-value-bytes"] == str(size)
    assert told["x-topic"] == COMMANDS
    assert await committed(kafka, "tests", COMMANDS) == {HOME: 2}


async def test_a_record_in_a_wrong_partition_that_is_too_large_to_forward_is_put_aside(
    kafka: str, until: Until
) -> None:
    numbers = Numbers()
    command = a_recreate(1).model_dump_json().encode() + b" " * 1_010_000
    elsewhere = (HOME + 1) % PARTITIONS
    async with consuming(bus := a_bus(kafka, numbers, send_timeout_seconds=10.0)):
        given = {"partition": elsewhere, "max_request_size": 2_000_000}
        await send(kafka, COMMANDS, PLACE, command, **given)
        await bus.publish(a_recreate(2))
        put_aside = bus._process.bus_measures.dead_letters.labels(COMMANDS, "delivery")
        # Of two partitions, which come in any order.
        await until(lambda: (numbers.seen, put_aside._value.get()) == ([2], 1))
    (letter,) = await everything(kafka, DEAD)
    assert headers_of(letter)["x-value-bytes"] == str(len(command))


async def test_letters_that_their_topic_does_not_take_are_cut_further(
    small_letters: str, until: Until
) -> None:
    numbers = Numbers()
    async with consuming(bus := a_bus(small_letters, numbers, send_timeout_seconds=10.0)):
        await send(small_letters, COMMANDS, PLACE, b"x" * 400_000)
        await bus.publish(a_recreate(2))
        await until(lambda: numbers.seen == [2] or bus._process.failure)
    (letter,) = await everything(small_letters, DEAD)
    assert headers_of(letter)["x-value-bytes"] == "400000"
    assert await committed(small_letters, "tests", COMMANDS) == {HOME: 2}


async def test_what_the_broker_does_not_take_is_said_and_the_next_is_taken(
    small_commands: str, until: Until
) -> None:
    """It is the record's own fault: trying again would not help, and the producer goes on."""
    numbers = Numbers()
    async with consuming(bus := a_bus(small_commands, numbers, send_timeout_seconds=10.0)):
        producer = bus._line._producer
        for number in range(5):
            with pytest.raises(DomainError, match=COMMANDS):
                await bus.publish(a_deploy("digits", number=number, cell="#" * 50_000))
        await bus.publish(a_recreate(9))
        await until(lambda: numbers.seen == [9])
        assert bus._line._producer is producer
