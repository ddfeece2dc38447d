"""From a change of status to its event at a client of the SDK, through gateway and api.

The record says when the status was entered and when it was written, by the clock of this machine.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import cellnode
from benchmarks.rows import Row, median, percentile
from cellnode import Event
from tests.e2e.bus import Follower
from tests.e2e.system import System
from tests.e2e.world import World, moment

SAMPLES, SAMPLES_MIN = 100, 30
HEARD_MS_MAX = 100.0
STATUSES = ("NodeStatusChanged", "InstanceStatusChanged")
PAUSE_SECONDS = 0.1  # Between deployments.
CHANGES_END_SECONDS_MAX = 60.0


@dataclass(frozen=True)
class Heard:
    """Milliseconds until the client had the event."""

    since_entered: float
    since_written: float


def rows() -> list[Row]:
    """Nodes come and go while one client listens."""
    system = System()
    try:
        system.start()
        with Follower(system.kafka) as statuses, cellnode.connect(url_of(system)) as client:
            events = client.events(kind=STATUSES)
            with changes(World(system, statuses)):
                return of(list(heard(events)))
    finally:
        system.stop()
        system.remove()


def url_of(system: System) -> str:
    host, port = system.gateway
    return f"http://{host}:{port}"


@contextmanager
def changes(world: World) -> Iterator[None]:
    """Deployments and removals, one after the other, until the block ends."""
    checkpoint, is_over = world.pin(offset=1), threading.Event()

    def change() -> None:
        while not is_over.wait(PAUSE_SECONDS):
            world.deploy(checkpoint, "y = offset", outputs=["y"])
            world.forget()

    changing = threading.Thread(target=change, daemon=True)
    changing.start()
    try:
        yield
    finally:
        is_over.set()
        changing.join(CHANGES_END_SECONDS_MAX)


def heard(events: Iterator[Event]) -> Iterator[Heard]:
    """One for every event that brings another status than the one before it."""
    known: dict[str, str | None] = {}
    found = 0
    for event in events:
        now = time.time()
        who = event.instance or f"node {event.node}"
        if known.get(who) != event.status:
            since, at = (moment(str(event.data[name])) for name in ("since", "at"))
            yield Heard((now - since) * 1000, (now - at) * 1000)
            found += 1
        known[who] = event.status
        if found == SAMPLES:
            return


def of(samples: list[Heard]) -> list[Row]:
    entered = [one.since_entered for one in samples]
    written = [one.since_written for one in samples]
    return [
        Row("status_to_client_samples_count", len(samples), at_least=SAMPLES_MIN),
        Row("status_to_client_median_ms", median(entered), at_most=HEARD_MS_MAX),
        Row("status_to_client_p99_ms", percentile(entered, 99)),
        Row("status_written_to_client_median_ms", median(written)),
    ]
