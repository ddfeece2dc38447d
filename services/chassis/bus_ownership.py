"""Partitions as the group assigns them: taken over before a record of theirs is handled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from aiokafka import ConsumerRebalanceListener

from services.chassis.endings import ended
from services.chassis.telemetry import logger

REVOKE_SECONDS_MAX = 8.0  # For the record that is being handled.
REVOKE_SHARE = 0.5  # Of a session, at most: no heartbeats are sent meanwhile.

log = logger("chassis.bus")


class Ownership(Protocol):
    """What a service does about partitions that come and go; both are awaited."""

    async def on_assigned(self, partitions: frozenset[int]) -> None:
        """All that are owned from now on. No record of them is handled before this returns."""

    async def on_revoked(self, partitions: frozenset[int]) -> None:
        """Owned no more; the handler that was running has finished, or its time is over."""


class Gate(ConsumerRebalanceListener):  # type: ignore[misc]
    """Between the group and the handlers: opens when the take-over is done.

    Taking over runs beside the group's own task, which would otherwise send no heartbeats.
    """

    def __init__(
        self,
        ownership: Ownership | None,
        on_failed: Callable[[BaseException], None],
        on_assigned: Callable[[], None] = lambda: None,
        *,
        session_seconds: float = 30.0,
    ) -> None:
        self._ownership = ownership
        self._on_failed = on_failed
        self._on_assigned = on_assigned
        self._revoke_seconds = min(REVOKE_SECONDS_MAX, session_seconds * REVOKE_SHARE)
        self._taking: asyncio.Task[None] | None = None
        self._owned: frozenset[int] = frozenset()
        self._handling = asyncio.Lock()
        self._rounds = 0
        self._is_closed = False
        self.joined = asyncio.Event()

    async def on_partitions_assigned(self, assigned: set[Any]) -> None:
        if self._is_closed:
            return  # A group that is being left may still assign.
        numbers = frozenset(one.partition for one in assigned)
        self._on_assigned()
        self._rounds += 1
        self._taking = asyncio.create_task(self._take_over(numbers), name="bus.take-over")

    async def on_partitions_revoked(self, revoked: set[Any]) -> None:
        numbers = frozenset(one.partition for one in revoked)
        self._rounds += 1
        self.joined.clear()
        await self._stop_taking()
        await self._finish_handling()
        self._owned = frozenset()
        if self._ownership is not None and numbers:
            await self._ownership.on_revoked(numbers)

    async def close(self) -> None:
        """Let nothing more through, and take nothing over any more."""
        self._is_closed = True
        self._rounds += 1
        await self._stop_taking()
        self._owned = frozenset()

    async def enter(self, partition: int) -> bool:
        """Whether a record of this partition may be handled; waits for a take-over under way."""
        taking = self._taking
        if taking is not None and not taking.done():
            await asyncio.wait({taking})
        if partition not in self._owned:
            return False  # Taken away meanwhile: its next owner reads the record again.
        await self._handling.acquire()
        if partition in self._owned:
            return True
        self._handling.release()  # It was taken away while this waited for its turn.
        return False

    def leave(self) -> None:
        self._handling.release()

    async def _take_over(self, numbers: frozenset[int]) -> None:
        this_round = self._rounds
        try:
            if self._ownership is not None:
                await self._ownership.on_assigned(numbers)
        except Exception as error:
            log.exception("partitions cannot be taken over", partitions=sorted(numbers))
            self._on_failed(error)
            return
        if this_round == self._rounds:
            self._owned = numbers
            self.joined.set()
            log.info("partitions taken over", partitions=sorted(numbers))

    async def _stop_taking(self) -> None:
        if self._taking is not None:
            await ended([self._taking])

    async def _finish_handling(self) -> None:
        try:
            await asyncio.wait_for(self._handling.acquire(), self._revoke_seconds)
        except asyncio.TimeoutError:
            log.error("a handler outlasts its partition", timeout_seconds=self._revoke_seconds)
        else:
            self._handling.release()
