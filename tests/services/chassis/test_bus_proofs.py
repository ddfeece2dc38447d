"""Records at hand are proven and committed together; what is not proven is never committed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from schemas.commands import AnyCommand
from schemas.errors import NotOwner
from schemas.topics import Topic
from services.chassis.bus import Bus, Consumers
from tests.builders import a_command
from tests.services.chassis.processes import a_process, committed, consuming

COUNT = 40
GROUP = "proofs"
Until = Callable[..., Awaitable[None]]


def a_bus(kafka: str, proven: Callable[[int], Awaitable[None]], seen: list[int]) -> Bus:
    bus = Bus(a_process(kafka))
    consumers = Consumers(Topic.COMMANDS, GROUP, proven=proven)

    @consumers.handle
    async def handle(command: AnyCommand) -> None:
        seen.append(command.id.int)

    bus.attach(consumers)
    return bus


async def published(bus: Bus) -> None:
    for number in range(COUNT):
        await bus.publish(a_command("RecreateNode", number=number))


async def test_a_burst_is_proven_a_few_times_and_committed_whole(kafka: str, until: Until) -> None:
    seen: list[int] = []
    proofs: list[int] = []

    async def prove(partition: int) -> None:
        proofs.append(len(seen))

    bus = a_bus(kafka, prove, seen)
    async with bus:
        await published(bus)
    async with consuming(bus := a_bus(kafka, prove, seen)):
        await until(lambda: proofs[-1:] == [COUNT])

    assert seen == list(range(COUNT))
    assert len(proofs) < COUNT / 2
    assert sum((await committed(kafka, GROUP, Topic.COMMANDS.value)).values()) == COUNT


async def test_what_is_not_proven_is_not_committed_and_ends_the_process(
    kafka: str, until: Until
) -> None:
    async def refuse(partition: int) -> None:
        raise NotOwner("another has taken over")

    bus = a_bus(kafka, refuse, [])
    async with consuming(bus):
        await published(bus)
        await until(lambda: bus._process.failure is not None)

    assert isinstance(bus._process.failure, NotOwner)
    assert await committed(kafka, GROUP, Topic.COMMANDS.value) == {}
