"""One outcome a command, also where the bus does not say whether it has taken the first one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from schemas.errors import BusUnavailable
from schemas.instance_types import INSTANCE_TYPES
from schemas.nodes import Node
from services.chassis.clock import Clock
from services.chassis.metrics import Metrics
from services.provisioner.consumers import CommandDesk
from services.provisioner.measures import Measures
from tests.builders import a_command, a_deploy, a_node


class SilentBook:
    """Takes the first outcome without saying so; what it has taken is not read back yet."""

    def __init__(self, node: Node | None) -> None:
        self.present = node
        self.told: list[Any] = []

    def outcome(self, place: str, command: object, digest: str) -> None: ...

    @asynccontextmanager
    async def changing(self, place: str) -> AsyncIterator[Node | None]:
        yield self.present

    async def put_node(self, node: Node) -> None:
        self.present = node

    async def put_outcome(self, outcome: Any) -> None:
        self.told.append(outcome)
        if len(self.told) == 1:
            raise BusUnavailable("not acknowledged, which is not: not written")


def desk(book: Any) -> CommandDesk:
    return CommandDesk(
        book,
        lambda _: None,
        instance_types=INSTANCE_TYPES,
        clock=Clock(),
        measures=Measures(Metrics("provisioner")),
    )


async def told_twice(book: SilentBook, command: Any) -> list[Any]:
    desk_of_book = desk(book)
    with pytest.raises(BusUnavailable):
        await desk_of_book.receive(command)
    if book.present is not None and book.present.deleting:
        book.present = None  # It is gone meanwhile.
    await desk_of_book.receive(command)
    return book.told


async def test_a_refusal_stays_one_though_its_cause_is_gone_at_the_next_try() -> None:
    leaving = a_node().model_copy(update={"deleting": True})

    first, again = await told_twice(SilentBook(leaving), a_deploy(number=9))

    assert first.kind == "CommandRejected"
    assert again == first


async def test_a_command_that_has_changed_the_node_says_so_again_after_a_take_over() -> None:
    book, command = SilentBook(a_node()), a_command("ScaleNode", want=2)
    with pytest.raises(BusUnavailable):
        await desk(book).receive(command)

    await desk(book).receive(command)

    said = [(one.generation, one.changed) for one in book.told]
    assert said == [(2, True), (2, True)]
