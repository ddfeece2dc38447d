"""Status events on their way to the bus: in order, together, and never an older one last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

from schemas.errors import NotOwner, TransientError
from schemas.events import InstanceStatusChanged, NodeStatusChanged
from schemas.statuses import InstanceStatus, NodeStatus
from services.chassis.clock import Clock
from services.chassis.loops import Backoff
from services.chassis.telemetry import Trace, logger, span, trace_headers, within

BATCH_MAX = 100
# Beyond it, only the last event of a key is kept: it holds the history. Keys may be more than that,
# so the next look is due when there are twice as many events as this one has left.
PENDING_MAX = 10_000
DELETING = (InstanceStatus.DELETING, NodeStatus.DELETING)

Event = InstanceStatusChanged | NodeStatusChanged

log = logger("health.outbox")


@dataclass(frozen=True)
class Gone:
    """A key whose status is buried."""

    key: str
    place: str


Outgoing = Event | Gone


class Publishes(Protocol):
    """Writes to the table `statuses` under the term of its owner."""

    async def put(self, event: Event) -> None: ...

    async def bury(self, key: str, place: str) -> None: ...


class Outbox:
    """What one partition has to publish. Statuses go on changing while the bus is away."""

    def __init__(
        self, publishes: Publishes, before_sending: Callable[[], None], clock: Clock
    ) -> None:
        self._publishes = publishes
        self._before_sending = before_sending
        self._clock = clock
        self._pending: list[Outgoing] = []
        self._sending: list[Outgoing] = []
        self._merge_at = PENDING_MAX
        self._causes: dict[str, Trace] = {}
        self._wanted = asyncio.Event()
        self._backoff = Backoff(0.05, 2.0)
        self.failures = 0

    @property
    def pending(self) -> int:
        return len(self._pending) + len(self._sending)

    @property
    def is_empty(self) -> bool:
        """Everything was acknowledged, and nothing is left to be looked at."""
        return not self.pending and not self._wanted.is_set()

    def add(self, outgoing: Outgoing) -> None:
        self._pending.append(outgoing)
        if cause := trace_headers():
            self._causes[_name(outgoing)] = cause
        if len(self._pending) > self._merge_at:
            self._merge()
        self._wanted.set()

    def _merge(self) -> None:
        self._pending = last_of_each_key(self._pending)
        self._merge_at = max(PENDING_MAX, 2 * len(self._pending))
        left = {_name(one) for one in chain(self._sending, self._pending)}
        self._causes = {name: cause for name, cause in self._causes.items() if name in left}

    def wake(self) -> None:
        """`before_sending` has something to add."""
        self._wanted.set()

    async def run(self) -> None:
        """Until cancelled, or NotOwner."""
        while True:
            await self._wanted.wait()
            self._before_sending()
            while self._pending:
                size = _batch_size(self._pending)
                self._sending, self._pending = self._pending[:size], self._pending[size:]
                await self._sent()
                self._before_sending()
            self._causes.clear()
            self._wanted.clear()

    async def _sent(self) -> None:
        """All acknowledged; or the last of each key is pending again, to go under a new order."""
        results = await asyncio.gather(*map(self._send, self._sending), return_exceptions=True)
        errors = [result for result in results if isinstance(result, BaseException)]
        if errors:
            _raise_what_no_retry_saves(errors)
            self.failures += 1
            log.warning("statuses not published", count=self.pending, error=str(errors[0]))
            await self._clock.sleep(self._backoff.delay_seconds(self.failures, self._clock))
            self._before_sending()
            self._pending = last_of_each_key([*self._sending, *self._pending])
        else:
            self.failures = 0
        self._sending = []

    async def _send(self, outgoing: Outgoing) -> None:
        cause = self._causes.get(_name(outgoing))
        if isinstance(outgoing, Gone):
            with within(cause):
                await self._publishes.bury(outgoing.key, outgoing.place)
            return
        told = {
            "cellnode.key": outgoing.key,
            "cellnode.status": outgoing.status.value,
            "cellnode.reason": outgoing.reason.value,
        }
        with span("change status", cause, told, kind="producer"):
            await self._publishes.put(outgoing)


def last_of_each_key(outgoing: list[Outgoing]) -> list[Outgoing]:
    """Every event carries its history, so the last of a key says all; the order stays.

    A tombstone carries nothing: it stays before what begins anew, and DELETING stays before it.
    """
    kept: dict[str, list[int]] = {}
    for place, one in enumerate(outgoing):
        before = kept.get(one.key, [])
        if isinstance(one, Gone):
            before = [n for n in before if _is_deleting(outgoing[n])][-1:]
        elif before and not isinstance(outgoing[before[-1]], Gone):
            before = before[:-1]
        kept[one.key] = [*before, place]
    return [outgoing[place] for place in sorted(chain.from_iterable(kept.values()))]


def _name(outgoing: Outgoing) -> str:
    return f"gone {outgoing.key}" if isinstance(outgoing, Gone) else str(outgoing.id)


def _batch_size(pending: list[Outgoing]) -> int:
    """A tombstone waits until what it stands on is acknowledged: it must not overtake it."""
    told: set[str] = set()
    for size, one in enumerate(pending[:BATCH_MAX]):
        if isinstance(one, Gone) and one.key in told:
            return size
        told.add(one.key)
    return min(len(pending), BATCH_MAX)


def _is_deleting(outgoing: Outgoing) -> bool:
    return not isinstance(outgoing, Gone) and outgoing.status in DELETING


def _raise_what_no_retry_saves(errors: list[BaseException]) -> None:
    for error in errors:
        if isinstance(error, NotOwner) or not isinstance(error, TransientError):
            raise error
