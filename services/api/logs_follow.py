"""The logs of a node's instances as they are written: who ends says why, who comes later joins."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from schemas.errors import StoreUnavailable
from schemas.events import InstanceStatusChanged
from schemas.statuses import InstanceStatus, Reason
from schemas.views import LOG_LINES_MAX
from services.api.logs_agents import AgentLog, NoLog, NoSuchLog
from services.api.logs_stream import LogStream
from services.api.projection import Projection
from services.chassis.clock import Clock
from services.chassis.endings import ended

AT_ONCE = 4  # Instances that are asked at once for what they have.
LOOK_SECONDS = 0.5  # Between two looks for instances that have come or gone.
RETRY_SECONDS = 0.5
LAST_WORDS = "last_lines"
LOST = "cellnode: lines before this are no longer kept"


@dataclass(frozen=True)
class _Told:
    """How far one instance's log was told."""

    position: str | None = None  # None: nothing of it yet.
    last: str = ""  # Line.
    is_over: bool = False


class NodeLogs:
    """The logs of one node, or of one of its instances."""

    def __init__(
        self, projection: Projection, clock: Clock, place: str, instance: str | None
    ) -> None:
        self._projection = projection
        self._clock = clock
        self._place = place
        self._instance = instance

    async def instances(self) -> list[InstanceStatusChanged] | None:
        """In the order in which they were made; None if there is no such node."""
        node = await self._projection.node(self._place)
        if node is None:
            return None
        return [one for one in node.instances() if self._instance in (None, one.instance)]

    async def tell(
        self, stream: LogStream, found: Sequence[InstanceStatusChanged], tail: int
    ) -> None:
        """What is there now, instance by instance."""
        for start in range(0, len(found), AT_ONCE):
            some = found[start : start + AT_ONCE]
            pieces = await asyncio.gather(*(_lines_now(one, tail) for one in some))
            for one, lines in zip(some, pieces, strict=True):
                await stream.tell(one.instance, lines)

    async def follow(
        self, stream: LogStream, found: Sequence[InstanceStatusChanged], tail: int
    ) -> None:
        """Until the node, or the one instance, is gone; or until this is cancelled."""
        tasks: dict[str, asyncio.Task[None]] = {}
        known: list[InstanceStatusChanged] | None = list(found)
        try:
            while self._goes_on(known, tasks):
                for one in _new(known or (), tasks):
                    tasks[one.instance] = asyncio.create_task(self._tail(stream, one, tail))
                _raise_failures(tasks)
                await self._clock.sleep(LOOK_SECONDS)
                tail = LOG_LINES_MAX  # Of those who come later nothing was seen.
                known = await self._look(known)
        finally:
            await ended(tasks.values())

    def _goes_on(
        self,
        known: list[InstanceStatusChanged] | None,
        tasks: Mapping[str, asyncio.Task[None]],
    ) -> bool:
        if not all(task.done() for task in tasks.values()):
            return True
        return known is not None and (self._instance is None or not tasks)

    async def _look(
        self, known: list[InstanceStatusChanged] | None
    ) -> list[InstanceStatusChanged] | None:
        try:
            return await self.instances()
        except StoreUnavailable:
            return known

    async def _tail(self, stream: LogStream, one: InstanceStatusChanged, tail: int) -> None:
        """All that one instance writes, to its last words."""
        async with AgentLog(one.instance, one.endpoint or "") as agent:
            told = _Told()
            while not told.is_over:
                try:
                    told = await self._next(stream, agent, told, tail)
                except NoSuchLog as error:
                    await stream.tell(one.instance, [f"cellnode: {error}"])
                    return
                except NoLog:
                    one, is_over = await self._state(one)
                    told = replace(told, is_over=is_over)
                    await self._clock.sleep(0 if is_over else RETRY_SECONDS)
            async with stream.turn:
                await stream.tell(one.instance, [*unseen(one, told.last), *ending(one)])

    async def _next(self, stream: LogStream, agent: AgentLog, told: _Told, tail: int) -> _Told:
        """Tell the client what comes next."""
        async with agent.asked(told.position, tail) as answer, stream.turn:
            piece = await agent.read(answer)
            await stream.tell(agent.instance, [LOST] * piece.is_lost + [*piece.lines])
        return _Told(piece.position, (piece.lines or (told.last,))[-1])

    async def _state(self, one: InstanceStatusChanged) -> tuple[InstanceStatusChanged, bool]:
        """The instance as it is known now, and whether no more can come of it."""
        try:
            found = await self.instances()
        except StoreUnavailable:
            return one, False
        for each in found or ():
            if each.instance == one.instance:
                return each, has_ended(each)
        return one, True


def _new(
    known: Iterable[InstanceStatusChanged], tasks: Mapping[str, object]
) -> list[InstanceStatusChanged]:
    return [one for one in known if one.instance not in tasks and one.endpoint is not None]


async def _lines_now(one: InstanceStatusChanged, tail: int) -> Sequence[str]:
    if one.endpoint is None:
        return [f"cellnode: there is no log yet: {one.sentence}"]
    try:
        async with AgentLog(one.instance, one.endpoint) as agent:
            return (await agent.tail(tail)).lines
    except NoLog as error:
        lines = last_lines(one)[-tail:] if tail else []
        return [*lines, *(ending(one) if has_ended(one) else [f"cellnode: {error}"])]


def has_ended(one: InstanceStatusChanged) -> bool:
    return one.reason is Reason.PROCESS_EXITED or one.status is InstanceStatus.DELETING


def last_lines(one: InstanceStatusChanged) -> list[str]:
    """The end of its log, as it was kept when it ended."""
    kept = [one.evidence, *(step.evidence for step in reversed(one.transitions))]
    return next((each[LAST_WORDS].split("\n") for each in kept if LAST_WORDS in each), [])


def unseen(one: InstanceStatusChanged, last: str) -> list[str]:
    """Its last lines, without those up to the last one that was told."""
    lines = last_lines(one)
    places = [place for place, line in enumerate(lines) if line == last]
    return lines[places[-1] + 1 :] if places else lines


def ending(one: InstanceStatusChanged) -> list[str]:
    how = ", ".join(f"{name} {one.evidence[name]}" for name in ("exit_code", "signal")
                    if name in one.evidence)  # fmt: skip
    return [f"cellnode: {one.status.value}: {one.sentence}{f' ({how})' if how else ''}"]


def _raise_failures(tasks: dict[str, asyncio.Task[None]]) -> None:
    """A client that has gone is what one of them notices first."""
    for task in tasks.values():
        if task.done() and (error := task.exception()) is not None:
            raise error
