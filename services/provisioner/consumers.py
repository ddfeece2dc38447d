"""Commands in: decide, record, wake, tell. No provider is called here, so it is quick."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Annotated, Any

from pydantic import Field

from schemas.commands import AnyCommand, parse_command
from schemas.decisions import decide
from schemas.errors import DomainError
from schemas.topics import Topic
from services.chassis.bus import Consumers
from services.chassis.bus_ownership import Ownership
from services.chassis.clock import Clock
from services.chassis.telemetry import logger
from services.provisioner.book import Book, Outcome
from services.provisioner.measures import Measures
from services.provisioner.outcomes import (
    Address,
    accepted,
    address_of,
    body_digest,
    id_reused,
    rejected,
)

GROUP = "cellnode-provisioner"

# A body that is no valid command is answered too, as long as it says whose and about what it is.
CommandOrBody = Annotated[AnyCommand | dict[str, Any], Field(union_mode="left_to_right")]

log = logger("provisioner.commands")


def provisioner_consumers(desk: CommandDesk, ownership: Ownership) -> Consumers:
    """The one subscription: its assignment is the ownership of partitions."""
    consumers = Consumers(Topic.COMMANDS, GROUP, ownership, proven=desk.proven)

    @consumers.handle
    async def receive(command: CommandOrBody) -> None:
        await desk.receive(command)

    return consumers


class CommandDesk:
    """Takes commands one by one."""

    def __init__(
        self,
        book: Book,
        wake: Callable[[str], None],
        *,
        instance_types: Collection[str],
        clock: Clock,
        measures: Measures,
    ) -> None:
        self._book = book
        self._wake = wake
        self._instance_types = instance_types
        self._clock = clock
        self._untold: Outcome | None = None  # Commands come one by one.
        self._measures = measures

    async def receive(self, command: AnyCommand | dict[str, Any]) -> None:
        """Raises DomainError only where nobody could be answered: that is a dead letter."""
        if isinstance(command, dict):
            await self._reject(command)
            return
        if not await self._is_known(command, command.digest()):
            await self._tell(self._untold_of(command) or await self._decided(command))

    async def proven(self, partition: int) -> None:
        """Return once all that was told about its commands has won."""
        await self._book.proven(partition)

    def _untold_of(self, command: AnyCommand) -> Outcome | None:
        """What was decided in a try before: it may lie on the bus though nobody told us so."""
        if self._untold is None or self._untold.command != command.id:
            return None
        return self._untold if self._untold.digest == command.digest() else None

    async def _decided(self, command: AnyCommand) -> Outcome:
        now = self._clock.now()
        try:
            async with self._book.changing(command.place) as before:
                after = decide(before, command, now, self._instance_types)
                if after is not before:
                    await self._book.put_node(after)
        except DomainError as refusal:
            return rejected(command, command.kind, command.digest(), refusal, now=now)
        self._wake(command.place)
        if after is not before:
            log.info("node recorded", node=command.place, generation=after.generation)
        return accepted(command, after, now)

    async def _reject(self, body: dict[str, Any]) -> None:
        address, digest = address_of(body), body_digest(body)
        if await self._is_known(address, digest):
            return
        now = self._clock.now()
        try:
            command = parse_command(body)
        except DomainError as refusal:
            await self._tell(rejected(address, body.get("kind"), digest, refusal, now=now))
        else:
            await self.receive(command)

    async def _is_known(self, command: AnyCommand | Address, digest: str) -> bool:
        """A known id repeats its outcome; with another body it is refused."""
        place = f"{command.project}/{command.node}"
        known = self._book.outcome(place, command.id, digest)
        if known is None:
            return False
        if known.digest != digest:
            now, kind = self._clock.now(), getattr(command, "kind", "")
            known = rejected(command, kind, digest, id_reused(command.id), now=now)
        await self._tell(known)
        return True

    async def _tell(self, outcome: Outcome) -> None:
        self._untold = outcome
        await self._book.put_outcome(outcome)
        self._untold = None
        said = self._measures.decided(outcome)
        log.info("command decided", node=outcome.place, command=str(outcome.command), said=said)
