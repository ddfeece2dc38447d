"""All contacts of a process: one task for each instance that can be spoken to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from schemas.instances import Instance
from services.chassis.clock import Clock
from services.chassis.loops import repeat
from services.health.contact import Checker, Contact, Desk

MEASURE_SECONDS = 0.1


class Watcher:
    """Starts and ends contacts as they are asked for; a contact that fails ends the process."""

    def __init__(self, checker: Checker, watch: Callable[[Any, str], asyncio.Task[Any]]) -> None:
        self._checker = checker
        self._watch = watch
        self._contacts: dict[str, asyncio.Task[Any]] = {}

    def __len__(self) -> int:
        return len(self._contacts)

    def keep(self, fact: Instance, desk: Desk) -> None:
        """Be in contact with the instance, from now on or as before."""
        task = self._contacts.get(fact.instance)
        if task is None or task.done():
            contact = Contact(fact, desk, self._checker)
            self._contacts[fact.instance] = self._watch(contact.run(), f"contact {fact.instance}")

    def end(self, instance: str) -> None:
        if (task := self._contacts.pop(instance, None)) is not None:
            task.cancel()

    async def close(self) -> None:
        tasks, self._contacts = list(self._contacts.values()), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def measure_lateness(checker: Checker, clock: Clock, tell: Callable[[float], None]) -> None:
    """How late this process's loop is, asked again and again: late probes say nothing."""
    due = clock.monotonic()

    async def measure() -> None:
        nonlocal due
        late = max(0.0, clock.monotonic() - due)
        checker.lateness = checker.lateness.heard(late)
        tell(late)
        due = clock.monotonic() + MEASURE_SECONDS * 1.1

    await repeat("health.lateness", measure, MEASURE_SECONDS, clock=clock)
