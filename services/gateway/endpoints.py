"""What a call can be routed to: nodes and, for each, the instances in balancing."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.http import ERRORS_HEADER, INSTANCE_HEADER
from services.gateway.admission import Queue
from services.gateway.balancing import ahead_of, smoothed
from services.gateway.calls import Call
from services.gateway.measures import NodeCounts
from services.gateway.outliers import AVOID_SECONDS_MAX, avoid_seconds
from services.gateway.pools import Pool

BUSY_SECONDS_MIN = 0.01
BUSY_SECONDS_MAX = 1.0


@dataclass(frozen=True)
class NodeFacts:
    """What the gateway needs of a node's record."""

    deadline_seconds: float
    queue_max: int
    idempotent: bool
    errors: str
    is_deleting: bool = False
    is_suspended: bool = False


class Endpoint:
    """One instance in balancing, and how it has done so far."""

    def __init__(self, instance: str, url: str, pool: Pool) -> None:
        self.instance = instance
        self.url = url
        self.pool = pool
        self.in_flight = 0
        self.ahead_max = 1  # Nothing is known of it yet.
        self.expected_us = 0.0
        self.avoided_until = 0.0  # After failures; rather this one than none.
        self.busy_until = 0.0  # After refusals with proof; it has no room until then.
        self._failures = 0
        self._refusals = 0

    def request_line(self, errors: str) -> bytes:
        """The first line and the headers that are the same in every call."""
        head = f"POST /execute HTTP/1.1\r\nHost: {self.instance}\r\n"
        return f"{head}{INSTANCE_HEADER}: {self.instance}\r\n{ERRORS_HEADER}: {errors}\r\n".encode()

    def served(self, execution_us: float) -> None:
        self._failures = self._refusals = 0
        if execution_us:
            self.expected_us = smoothed(self.expected_us, execution_us)
            self.ahead_max = ahead_of(self.expected_us)

    def failed(self, now: float) -> None:
        self._failures += 1
        self.avoided_until = now + avoid_seconds(self._failures)

    def refused(self, now: float) -> None:
        self._refusals += 1
        grown = avoid_seconds(self._refusals) * BUSY_SECONDS_MAX / AVOID_SECONDS_MAX
        self.busy_until = now + max(BUSY_SECONDS_MIN, grown)


class RoutedNode:
    """A node as calls see it. It stays the same object while its record changes."""

    def __init__(self, place: str, facts: NodeFacts) -> None:
        self.place = place
        self.facts = facts
        self.endpoints: tuple[Endpoint, ...] = ()
        self.queue: Queue[Call] = Queue(facts.queue_max)
        self.counts = NodeCounts()
        self.troubled_until = 0.0  # Some endpoint is busy or avoided until then.
        self._lines: dict[Endpoint, bytes] = {}

    @property
    def waiting(self) -> int:
        """Calls that wait for room."""
        return len(self.queue)

    def update(self, facts: NodeFacts, endpoints: tuple[Endpoint, ...]) -> None:
        self.facts = facts
        self.queue.places_max = facts.queue_max
        self.endpoints = endpoints
        self._lines = {one: one.request_line(facts.errors) for one in endpoints}

    def request_line(self, endpoint: Endpoint) -> bytes:
        return self._lines.get(endpoint) or endpoint.request_line(self.facts.errors)

    def candidates(self, tried: tuple[Endpoint, ...], now: float) -> tuple[Endpoint, ...]:
        """Not the busy; those avoided, or tried by this call, only if nobody else is left."""
        free = tuple(one for one in self.endpoints if one.busy_until <= now)
        untried = tuple(one for one in free if one not in tried)
        calm = tuple(one for one in untried if one.avoided_until <= now)
        return calm or untried or free

    def trouble(self, endpoint: Endpoint) -> None:
        until = max(endpoint.avoided_until, endpoint.busy_until)
        self.troubled_until = max(self.troubled_until, until)
