"""What a process tells of the bus: what waits, what became of records, and that it ends in time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from schemas.commands import AnyCommand
from schemas.topics import Topic
from services.chassis.bus import Bus
from services.chassis.bus_measures import BusMeasures
from services.chassis.metrics import Metrics
from services.embedded.broker import EmbeddedBroker
from tests.exposition import label_values, number, promtool_says, shown
from tests.services.chassis.folding import ALL, folding, owning
from tests.services.chassis.processes import PARTITIONS, consuming, send
from tests.services.chassis.test_bus import COMMANDS, HOME, PLACE, Numbers, a_bus, a_recreate

PREFIX = "cellnode_test_"
LAG = f"{PREFIX}bus_lag_records"
RECORDS = f"{PREFIX}records_total"
Until = Callable[..., Awaitable[None]]


def text_of(bus: Bus) -> str:
    return bus._process.metrics.text().decode()


@pytest.mark.full
async def test_what_waits_is_told_by_partition_until_the_partition_goes(
    kafka: str, until: Until
) -> None:
    may_go_on = asyncio.Event()

    async def handle(command: AnyCommand) -> None:
        await may_go_on.wait()

    here = {"topic": COMMANDS, "partition": str(HOME)}
    async with consuming(bus := a_bus(kafka, handle)):
        for n in range(1, 6):
            await bus.publish(a_recreate(n))
        await until(lambda: number(text_of(bus), LAG, **here) == 4)
        may_go_on.set()
        await until(lambda: number(text_of(bus), LAG, **here) == 0)
        assert label_values(text_of(bus), "partition") == {str(n) for n in range(PARTITIONS)}
        assert promtool_says(text_of(bus)) == ""
    assert label_values(text_of(bus), "partition") == set()


@pytest.mark.full
async def test_a_table_lags_too_and_no_more_once_it_is_given_up(kafka: str, until: Until) -> None:
    async with folding(kafka) as one:
        await one.tables.assign(ALL)
        await until(lambda: label_values(text_of(one.bus), "partition") == {"0", "1", "2", "3"})
        await one.tables.assign([1])
        await until(lambda: label_values(text_of(one.bus), "partition") == {"1"})


async def test_each_record_has_one_fate(kafka: str, until: Until) -> None:
    numbers = Numbers(KeyError("bug"))
    elsewhere = (HOME + 1) % PARTITIONS
    async with consuming(bus := a_bus(kafka, numbers)):
        await bus.publish(a_recreate(1))
        await send(kafka, COMMANDS, PLACE, a_recreate(2).model_dump_json().encode())
        await until(lambda: numbers.seen == [2])
        away = a_recreate(3).model_dump_json().encode()
        await send(kafka, COMMANDS, PLACE, away, partition=elsewhere)
        taken = f"{PREFIX}record_duration_seconds_count"
        await until(lambda: number(text_of(bus), taken, topic=COMMANDS) == 4)
        text = text_of(bus)

    fates = {fate: number(text, RECORDS, fate=fate) for fate in label_values(text, "fate")}
    assert fates == {"buried": 1, "handled": 2, "forwarded": 1}
    letters = number(text, f"{PREFIX}dead_letters_total", topic=COMMANDS, source="delivery")
    assert letters == number(text, f"{PREFIX}dead_letters_total") == 1
    assert number(text, f"{PREFIX}bus_rebalances_total") == 1


async def test_what_a_table_cannot_read_is_a_dead_letter_of_the_table(
    kafka: str, until: Until
) -> None:
    nodes = Topic.NODES.value
    async with owning(kafka) as one:
        await send(kafka, nodes, PLACE, b"\xff")
        letters = f"{PREFIX}dead_letters_total"
        await until(lambda: number(text_of(one.bus), letters, topic=nodes, source="table") == 1)
        text = text_of(one.bus)
    assert number(text, RECORDS, topic=nodes, fate="unreadable") == 1
    assert number(text, f"{PREFIX}fold_duration_seconds_count", topic=nodes) >= 1


@pytest.mark.full
async def test_a_broker_that_is_away_shows_in_the_producers_failures(
    broker: EmbeddedBroker, until: Until
) -> None:
    async with consuming(bus := a_bus(broker.address, Numbers(), send_timeout_seconds=0.5)):
        broker.stop()
        for n in (1, 2, 3):
            with pytest.raises(Exception, match=COMMANDS):
                await bus.publish(a_recreate(n))
        text = text_of(bus)
    assert number(text, f"{PREFIX}bus_producer_failures_total") == 3
    assert number(text, f"{PREFIX}bus_producer_replacements_total") == 1


def test_its_names_are_a_contract() -> None:
    metrics = Metrics("test")
    BusMeasures(metrics)
    assert shown(metrics, PREFIX) == {
        "records_total": ("counter", "topic fate"),
        "record_duration_seconds": ("histogram", "topic"),
        "fold_duration_seconds": ("histogram", "topic"),
        "dead_letters_total": ("counter", "topic source"),
        "bus_producer_failures_total": ("counter", ""),
        "bus_producer_replacements_total": ("counter", ""),
        "bus_rebalances_total": ("counter", ""),
        "bus_lag_records": ("gauge", "topic partition"),
    }
