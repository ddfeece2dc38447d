"""Whether this process may still change the world: what it knew may be old when it acts.

Who was paused, or cut off from the bus, for as long as a session learns last that others own its
partitions. Their marks lie on the bus before they act, so reading up to its end is the proof.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from schemas.errors import BusUnavailable, NotOwner
from schemas.topics import Topic
from services.chassis.clock import Clock

SESSION_SHARE = 0.25  # A proof is good for this share of the time that others wait for us.
PROOF_SECONDS_MAX = 10.0


class Readable(Protocol):
    """Can be read up to the end of the bus."""

    async def up_to_now(self, topic: Topic, partition: int) -> None: ...


class Owned(Protocol):
    """What is owned, as far as this process knows."""

    @property
    def partitions(self) -> frozenset[int]: ...


class Standing:
    """Proofs by partition; those who ask at once share one."""

    def __init__(
        self, tables: Readable, owned: Owned, session_seconds: float, clock: Clock
    ) -> None:
        self._tables = tables
        self._owned = owned
        self._good_seconds = session_seconds * SESSION_SHARE
        self._clock = clock
        self._proven_at: dict[int, float] = {}
        self._proving: dict[int, asyncio.Lock] = {}

    async def sure(self, partition: int) -> None:
        """Return while the partition is owned for certain; NotOwner, or BusUnavailable if not."""
        async with self._proving.setdefault(partition, asyncio.Lock()):
            proven_at = self._proven_at.get(partition)
            now = self._clock.monotonic()
            if proven_at is None or now - proven_at > self._good_seconds:
                await self._prove(partition)
                self._proven_at[partition] = now
        if partition not in self._owned.partitions:
            raise NotOwner(f"partition {partition} is not owned any more")

    async def _prove(self, partition: int) -> None:
        try:
            async with asyncio.timeout(PROOF_SECONDS_MAX):
                await self._tables.up_to_now(Topic.INSTANCES, partition)
        except TimeoutError:
            raise BusUnavailable(f"partition {partition} cannot be read to its end") from None
