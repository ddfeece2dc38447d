"""Apache Kafka away for longer than a session: paused, killed, without a topic or a leader."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any

import pytest
from aiokafka.errors import KafkaError

from schemas.commands import AnyCommand
from schemas.errors import BusUnavailable
from services.chassis.bus import Bus
from tests.servers import ApacheKafka
from tests.servers.topics import fresh_topics, make_topics, remove_topics
from tests.services.chassis.folding import node, owning, reading
from tests.services.chassis.processes import (
    PARTITIONS,
    a_process,
    committed,
    consuming,
    everything,
)
from tests.services.chassis.test_bus import COMMANDS, HOME, Numbers, a_bus, a_recreate

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(120)]

AWAY_SECONDS = 4.0  # Longer than the session of 3 s and the sends' 2 s of these tests.
BACK_SECONDS_MAX = 40.0
Until = Callable[..., Awaitable[None]]


@pytest.fixture
def server(apache_kafka: ApacheKafka) -> Iterator[ApacheKafka]:
    """With fresh topics; it runs again after the test, whatever the test has done to it."""
    asyncio.run(fresh_topics(apache_kafka.address, partitions=PARTITIONS))
    yield apache_kafka
    if apache_kafka.is_running:
        apache_kafka.resume()
    else:
        apache_kafka.start()


async def paused(server: ApacheKafka) -> None:
    server.pause()
    await asyncio.sleep(AWAY_SECONDS)
    server.resume()


async def killed(server: ApacheKafka) -> None:
    server.kill()
    await asyncio.sleep(AWAY_SECONDS)
    await asyncio.to_thread(server.start)


Away = Callable[[ApacheKafka], Coroutine[Any, Any, None]]


@pytest.mark.parametrize("away", [paused, killed])
async def test_what_was_acknowledged_is_handled_in_order_and_the_rest_was_refused(
    server: ApacheKafka, until: Until, away: Away
) -> None:
    """Neither the producer nor the consumer has to be helped back."""
    numbers, acknowledged, refused = Numbers(), list[int](), list[int]()

    async with consuming(bus := a_bus(server.address, numbers)):
        absence = asyncio.create_task(away(server))
        number = 0
        while not absence.done() or not acknowledged or number - acknowledged[-1] > 0:
            number += 1
            told = acknowledged if await is_published(bus, number) else refused
            told.append(number)
            await asyncio.sleep(0.05)
        await absence
        await until(lambda: set(acknowledged) <= set(numbers.seen), seconds=BACK_SECONDS_MAX)
        assert bus._process.failure is None

    firsts = list(dict.fromkeys(one for one in numbers.seen if one in acknowledged))
    assert firsts == acknowledged
    assert refused, "it was away"
    assert set(numbers.seen) <= {*acknowledged, *refused}
    assert (await committed(server.address, "tests", COMMANDS))[HOME] >= len(acknowledged)


async def is_published(bus: Bus, number: int) -> bool:
    try:
        await bus.publish(a_recreate(number))
    except BusUnavailable:
        return False
    return True


@pytest.mark.parametrize("away", [paused, killed])
async def test_an_owner_and_a_reader_go_on_where_they_stood(
    server: ApacheKafka, until: Until, away: Away
) -> None:
    async with owning(server.address) as owner, reading(server.address) as one:
        await owner.owned.put(node(1))
        await away(server)
        await put_again_until_taken(owner.owned.put, 2)
        await until(lambda: one.generation() == 2, seconds=BACK_SECONDS_MAX)
        assert owner.process.failure is None
        assert owner.owned.term(HOME) == 1


async def put_again_until_taken(put: Callable[..., Awaitable[object]], generation: int) -> None:
    for _ in range(20):
        try:
            await put(node(generation))
        except BusUnavailable:
            continue
        return
    raise AssertionError("it is not taken")


async def test_a_handler_that_runs_when_the_broker_goes_away_is_committed_or_runs_again(
    server: ApacheKafka, until: Until
) -> None:
    """Effect before offset: whatever happens to the commit, nothing is passed over."""
    begun, seen = asyncio.Event(), list[int]()

    async def slow(command: AnyCommand) -> None:
        begun.set()
        await asyncio.sleep(1)
        seen.append(command.id.int)

    async with consuming(bus := a_bus(server.address, slow)):
        for number in (1, 2, 3):
            await bus.publish(a_recreate(number))
        await begun.wait()
        await killed(server)
        await until(lambda: {1, 2, 3} <= set(seen), seconds=BACK_SECONDS_MAX)
    assert list(dict.fromkeys(seen)) == [1, 2, 3]


async def test_a_handler_slower_than_its_session_keeps_its_partition(
    server: ApacheKafka, until: Until
) -> None:
    """Heartbeats go on while it waits, so nobody else is given what it has not committed."""
    seen: list[int] = []

    async def slow(command: AnyCommand) -> None:
        await asyncio.sleep(4 if command.id.int == 1 else 0.1)
        seen.append(command.id.int)

    async with consuming(bus := a_bus(server.address, slow)):
        for number in range(1, 6):
            await bus.publish(a_recreate(number))
        await until(lambda: len(seen) == 5, seconds=BACK_SECONDS_MAX)
        assert bus._process.bus_measures.rebalances._value.get() == 1
    assert seen == [1, 2, 3, 4, 5]
    assert await committed(server.address, "tests", COMMANDS) == {HOME: 5}


async def test_topics_that_are_made_later_are_waited_for(server: ApacheKafka, until: Until) -> None:
    await remove_topics(server.address)
    numbers = Numbers()
    making = asyncio.create_task(made_after(server, 3))

    async with consuming(bus := a_bus(server.address, numbers)):
        assert making.done()
        await bus.publish(a_recreate(1))
        await until(lambda: numbers.seen == [1])
        assert bus._process.failure is None


async def made_after(server: ApacheKafka, seconds: float) -> None:
    await asyncio.sleep(seconds)
    await make_topics(server.address, partitions=PARTITIONS)


async def test_a_batch_that_expires_without_a_leader_breaks_a_producer_and_ours_is_replaced(
    server: ApacheKafka, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A5: its numbers are used up, so the broker refuses what comes after them."""
    async with Bus(a_process(server.address, send_timeout_seconds=3.0)) as bus:
        await bus.publish(a_recreate(1))
        first = bus._line._producer
        with monkeypatch.context() as leaderless:
            leaderless.setattr(type(first._metadata), "leader_for_partition", lambda *_: None)
            with pytest.raises(BusUnavailable):
                await bus.publish(a_recreate(2))
            await asyncio.sleep(1)
        with pytest.raises(KafkaError, match="OutOfOrderSequenceNumber"):
            await first.send_and_wait(COMMANDS, b"{}", partition=HOME)
        for _ in range(10):
            if await is_published(bus, 3):
                break
        await until(lambda: bus._line._producer is not first)
    values = [record.value or b"" for record in await everything(server.address, COMMANDS)]
    assert len([one for one in values if b'"kind"' in one]) == 2
