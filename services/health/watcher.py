"""All contacts of a process: one task for each instance that can be spoken to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from schemas.instances import Instance
from services.chassis.clock import Clock
from services.chassis.endings import ended
from services.chassis.loops import repeat
from services.chassis.telemetry import logger
from services.health.contact import Checker, Contact, Desk

MEASURE_SECONDS = 0.1
AGAIN_SECONDS = 1.0  # After a contact failed unexpectedly; the others do not notice.

log = logger("health.watcher")


class Watcher:
    """Starts and ends contacts as they are asked for."""

    def __init__(self, checker: Checker) -> None:
        self._checker = checker
        self._contacts: dict[str, tuple[Contact, asyncio.Task[None]]] = {}

    def __len__(self) -> int:
        return len(self._contacts)

    def keep(self, fact: Instance, desk: Desk) -> None:
        """Be in contact with the instance, from now on or as before."""
        known = self._contacts.get(fact.instance)
        if known is not None and known[0].endpoint == fact.endpoint:
            return
        self.end(fact.instance)
        contact = Contact(fact, desk, self._checker)
        task = asyncio.create_task(contact.run(), name=f"contact {fact.instance}")
        self._contacts[fact.instance] = (contact, task)
        task.add_done_callback(lambda done: self._ended(done, fact, desk))

    def end(self, instance: str) -> None:
        if (known := self._contacts.pop(instance, None)) is not None:
            known[1].cancel()

    async def close(self) -> None:
        tasks = [task for _, task in self._contacts.values()]
        for instance in list(self._contacts):
            self.end(instance)
        await ended(tasks)
        await self._checker.clock.sleep(0)  # Connections that were aborted are closed now.

    def _ended(self, task: asyncio.Task[None], fact: Instance, desk: Desk) -> None:
        error = None if task.cancelled() else task.exception()
        known = self._contacts.get(fact.instance)
        if known is None or known[1] is not task:
            return  # It was ended on purpose.
        del self._contacts[fact.instance]
        if error is not None:
            log.error("contact failed", instance=fact.instance, exc_info=error)
            asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._again, fact, desk)

    def _again(self, fact: Instance, desk: Desk) -> None:
        """Unless it is over meanwhile, or somebody else has begun already."""
        if desk.observed(fact.instance) is not None and fact.instance not in self._contacts:
            self.keep(fact, desk)


async def measure_lateness(
    checker: Checker, clock: Clock, tell: Callable[[float], None] = lambda _: None
) -> None:
    """How late this process's loop is, asked again and again: late probes say nothing."""
    due = clock.monotonic()

    async def measure() -> None:
        nonlocal due
        late = max(0.0, clock.monotonic() - due)
        checker.lateness = checker.lateness.heard(late)
        tell(late)
        due = clock.monotonic() + MEASURE_SECONDS * 1.1

    await repeat("health.lateness", measure, MEASURE_SECONDS, clock=clock)
