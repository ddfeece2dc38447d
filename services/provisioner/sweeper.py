"""Removes VMs of this installation that nobody knows of, once that is certain."""

from __future__ import annotations

from signal import SIGINT

from services.chassis.clock import Clock
from services.chassis.loops import repeat
from services.chassis.telemetry import logger
from services.provisioner.book import Book
from services.provisioner.providers import Drain, Found, Provider

ROUNDS = 6  # So many within the time after which the unknown goes.
DRAIN_SECONDS_MAX = 5.0

log = logger("provisioner.sweeper")


class Sweeper:
    """A VM goes that no table names, of an owned partition, with complete tables, for a while."""

    def __init__(
        self, book: Book, provider: Provider, unknown_after_seconds: float, clock: Clock
    ) -> None:
        self._book = book
        self._provider = provider
        self._unknown_after_seconds = unknown_after_seconds
        self._clock = clock
        self._unknown_since: dict[str, float] = {}

    async def run(self) -> None:
        """Until cancelled."""
        pause_seconds = self._unknown_after_seconds / ROUNDS
        await repeat("provisioner.sweep", self.sweep, pause_seconds, clock=self._clock)

    async def sweep(self) -> None:
        """One round; what is found unknown is removed in a later one."""
        unknown = [found for found in await self._provider.found() if self._is_unknown(found)]
        now = self._clock.monotonic()
        self._unknown_since = {
            found.instance: self._unknown_since.get(found.instance, now) for found in unknown
        }
        for found in unknown:
            if now - self._unknown_since[found.instance] < self._unknown_after_seconds:
                continue
            await self._book.sure(found.place)
            if self._is_unknown(found):
                log.warning("unknown vm removed", node=found.place, instance=found.instance)
                drain = Drain(SIGINT, DRAIN_SECONDS_MAX)
                await self._provider.remove(found.instance, None, drain)

    def _is_unknown(self, found: Found) -> bool:
        return (
            self._book.owns(found.place)
            and self._book.is_complete(found.place)
            and self._book.instance(found.place, found.instance) is None
        )
