"""What became of commands: outcomes as the bus tells them, and commands that wait for theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from schemas.commands import Command
from schemas.errors import RefusalReason
from schemas.events import CommandAccepted, CommandRejected
from schemas.messages import TableRecord
from schemas.topics import Topic
from services.api.event_log import Outcome
from services.chassis.tables import Batch
from services.chassis.tables_known import KnownTables

PENDING_MAX = 10_000  # Commands that this process has published and not heard of; then forgotten.


def outcome_key(outcome: TableRecord) -> str:
    """By command; a refused reuse of its id stands beside it, not in its place."""
    assert isinstance(outcome, CommandAccepted | CommandRejected)
    is_reuse = (
        isinstance(outcome, CommandRejected) and outcome.reason is RefusalReason.COMMAND_ID_REUSED
    )
    return f"{outcome.command}/{outcome.digest}" if is_reuse else str(outcome.command)


class Outcomes:
    """Asks the fold of `outcomes`; `heard` is its listener."""

    def __init__(self, tables: KnownTables) -> None:
        self._tables = tables
        self._pending: dict[UUID, Command] = {}
        self._waiting: dict[tuple[UUID, str], list[asyncio.Future[Outcome]]] = {}

    def find(self, command: UUID) -> Outcome | None:
        record = self._tables.get(Topic.OUTCOMES, str(command))
        return record if isinstance(record, CommandAccepted | CommandRejected) else None

    def pending(self, command: UUID) -> Command | None:
        """A command that this process has published and that has no outcome yet."""
        return self._pending.get(command)

    def all(self) -> list[Outcome | Command]:
        """Everything known, in no order."""
        records = self._tables.records(Topic.OUTCOMES)
        known = [one for one in records if isinstance(one, CommandAccepted | CommandRejected)]
        return [*known, *self._pending.values()]

    def published(self, command: Command) -> None:
        """It is on the bus; pending until its outcome comes, which it may have already."""
        if self.find(command.id) is None:
            self._pending[command.id] = command
        if len(self._pending) > PENDING_MAX:
            del self._pending[next(iter(self._pending))]

    @contextmanager
    def expected(self, command: Command) -> Iterator[asyncio.Future[Outcome]]:
        """A future of the outcome of exactly this body, from before it is published."""
        key = (command.id, command.digest())
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append(future)
        try:
            yield future
        finally:
            waiting = self._waiting[key]
            waiting.remove(future)
            if not waiting:
                del self._waiting[key]

    def heard(self, batch: Batch) -> None:
        """As a listener of the tables."""
        for change in batch.changes if batch.topic is Topic.OUTCOMES else ():
            if isinstance(outcome := change.record, CommandAccepted | CommandRejected):
                self._decided(outcome)

    def _decided(self, outcome: Outcome) -> None:
        self._pending.pop(outcome.command, None)
        for future in self._waiting.get((outcome.command, outcome.digest), ()):
            if not future.done():
                future.set_result(outcome)
