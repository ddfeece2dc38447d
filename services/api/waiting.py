"""Waiting for what a command brings about: told by events, seen in the projection."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from schemas.commands import Command
from schemas.errors import StoreUnavailable
from schemas.events import CommandAccepted, CommandRejected
from schemas.instance_types import InstanceType
from schemas.views import NodeView
from services.api.event_log import EventLog, Outcome
from services.api.outcomes import Outcomes
from services.api.problems import ApiProblem
from services.api.projection import Projection
from services.api.publishing import Publishing, rejection
from services.api.verdicts import Goal, is_there, state_of, uid_made_by, with_command
from services.chassis.clock import Clock

WAITS_MAX = 1_000  # At one moment.
PROJECTED_SECONDS = 5.0  # After so long the projection shows what was accepted.
LOOK_SECONDS_MIN = 0.002  # Between looks at the projection, just after an event.
LOOK_SECONDS_MAX = 0.25  # While nothing is heard.


@dataclass
class _Sought:
    """What is waited for, and what was seen last."""

    accepted: CommandAccepted
    goal: Goal
    uid: UUID | None = None  # Of the node that is to go.
    seen: NodeView | None = None
    trouble: str = ""


class Waiting:
    """Sends a command and follows what becomes of it, until it is so or the time is over."""

    def __init__(
        self,
        publishing: Publishing,
        outcomes: Outcomes,
        events: EventLog,
        projection: Projection,
        *,
        types: Mapping[str, InstanceType],
        clock: Clock,
    ) -> None:
        self._publishing = publishing
        self._outcomes = outcomes
        self._events = events
        self._projection = projection
        self._types = types
        self._clock = clock
        self.count = 0
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Whoever waits is told that this process ends."""
        self._stopping.set()

    async def view(self, place: str) -> NodeView | None:
        """The node as a reader of the projection sees it now."""
        records = await self._projection.node(place)
        return None if records is None else records.view(self._types)

    async def accepted(self, command: Command, seconds: float) -> CommandAccepted:
        """Publish, unless its outcome is known, and return what became of it; refused: raise."""
        outcome = self._publishing.known(command)
        if outcome is None:
            outcome = await self._outcome(command, seconds)
        if isinstance(outcome, CommandRejected):
            raise rejection(outcome)
        return outcome

    async def reached(
        self, accepted: CommandAccepted, goal: Goal, seconds: float, *, uid: UUID | None = None
    ) -> NodeView | None:
        """The node once the goal is reached, as the projection shows it to everybody.

        For `GONE`, `uid` is the node that is to go: another one under its name is not waited for.
        """
        sought = _Sought(accepted, goal, uid)
        deadline = self._clock.monotonic() + seconds
        pace = LOOK_SECONDS_MIN
        while True:
            number = self._events.next
            if await self._is_reached(sought):
                return sought.seen
            left = deadline - self._clock.monotonic()
            if left <= 0 or self._stopping.is_set():
                raise self._too_late(sought, seconds)
            if await self._news(accepted.place, number, min(pace, left)):
                pace = LOOK_SECONDS_MIN
            else:
                pace = min(pace * 2, LOOK_SECONDS_MAX)

    async def _is_reached(self, sought: _Sought) -> bool:
        """One look; a projection that cannot be read now is looked at again."""
        try:
            sought.seen, sought.trouble = await self.view(sought.accepted.place), ""
        except StoreUnavailable as error:
            sought.trouble = f"; now it cannot be seen: {error}"
            return False
        if sought.goal is Goal.GONE:
            return self._is_gone(sought)
        made = uid_made_by(sought.accepted)
        if sought.seen is not None and made not in (None, sought.seen.uid):
            return False
        try:
            return is_there(sought.seen, sought.goal, sought.accepted.generation)
        except ApiProblem as problem:
            raise with_command(problem, sought.accepted.command) from None

    @contextmanager
    def counted(self) -> Iterator[None]:
        """One more that waits, if there may be."""
        if self.count >= WAITS_MAX:
            raise ApiProblem(
                "too-many-streams", f"{WAITS_MAX} requests wait already", remedy="ask without wait"
            )
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1

    async def _outcome(self, command: Command, seconds: float) -> Outcome:
        with self._outcomes.expected(command) as expected:
            await self._publishing.publish(command)
            stopping = asyncio.ensure_future(self._stopping.wait())
            try:
                either: set[asyncio.Future[Any]] = {expected, stopping}
                await asyncio.wait(either, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            finally:
                stopping.cancel()
            if expected.done():
                return expected.result()
        raise ApiProblem(
            "wait-timeout",
            f"Kafka has the command, but nothing became of it within {seconds:g} s",
            remedy=f"look at /v1/commands/{command.id}",
            command=command.id,
        )

    def _is_gone(self, sought: _Sought) -> bool:
        """A node that was never seen may be gone, or too new for the projection."""
        seen, accepted = sought.seen, sought.accepted
        if seen is not None:
            sought.uid = sought.uid or seen.uid
            return seen.uid != sought.uid
        asked_at = accepted.at.timestamp()
        is_told = any(
            event.kind == "NodeGone" and event.at_ms / 1000 > asked_at - PROJECTED_SECONDS
            for event in self._events.between(0, self._events.next)
            if event.place == accepted.place
        )
        is_old = self._clock.now().timestamp() - asked_at > PROJECTED_SECONDS
        return sought.uid is not None or is_told or is_old

    async def _news(self, place: str, number: int, seconds: float) -> bool:
        """Whether an event of the place came before the time was over."""
        try:
            async with asyncio.timeout(seconds):
                while not any(
                    event.place == place
                    for event in self._events.between(number, self._events.next)
                ):
                    number = self._events.next
                    await self._events.news()
        except TimeoutError:
            return False
        return True

    def _too_late(self, sought: _Sought, seconds: float) -> ApiProblem:
        late = f"not {sought.goal.value} in {seconds:g} s"
        why = "the api stops" if self._stopping.is_set() else late
        return ApiProblem(
            "wait-timeout",
            f"{why}; {state_of(sought.seen)}{sought.trouble}",
            remedy="wait longer, or follow the node's events",
            command=sought.accepted.command,
        )
