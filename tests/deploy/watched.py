"""A day in the life of a system, shortened: what the demo does, and what goes wrong on bad days."""

from __future__ import annotations

import asyncio
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.deploy.prometheus import STEP_SECONDS, Prometheus
from tests.e2e.bus import Follower, publish_bytes
from tests.e2e.waiting import until
from tests.e2e.world import Damaged, World
from tests.services.annotations.store import Store, serving

CELL = "import os, time\ntime.sleep(0.02)\ny = base // x"
Change = tuple[str, str, str, str]  # kind, from, to, reason


@dataclass
class Day:
    """What happened, as it was seen from outside."""

    world: World
    prometheus: Prometheus
    grafana: Store
    node: str = ""
    broken: str = ""
    instances: list[str] = field(default_factory=list)


def lived(day: Day) -> None:
    """Deploy, call, kill, scale, fail; each for some scrapes."""
    world = day.world
    _rest(3)  # What came before Prometheus' own first steps is nobody's change.
    day.node = world.deploy(world.pin(base=100), CELL, want=2, min=1, inputs=["x"], outputs=["y"])
    _call(day, x=7)
    _lose_one(day)
    for want in (3, 1):
        assert world.command("ScaleNode", day.node, want=want)["kind"] == "CommandAccepted"
        world.healthy(day.node, want, seconds=40)
        _call(day, x=7)
    _call(day, x=0)  # The cell divides by it.
    _look_around(day)
    _fail(day)
    day.instances = world.statuses.of(day.node)
    _rest(3)


def buried(day: Day) -> None:
    """The node is deleted; nothing of it is left."""
    for node in (day.node, day.broken):
        day.world.command("DeleteNode", node)
    gone = (f"default/{day.node}", f"default/{day.broken}")
    until(
        "both are gone",
        lambda: all(day.world.statuses.statuses(key)[-1] == "gone" for key in gone),
        seconds=60,
    )
    _rest(3)


def changes(statuses: Follower) -> Counter[Change]:
    """Every change that an outside consumer has heard of."""
    now: dict[str, tuple[str, str, str]] = {}
    found: Counter[Change] = Counter()
    for one in statuses.seen():
        kind, before, reason = now.get(one.key, ("", "none", ""))
        if one.value is None and one.key in now:
            found[kind, before, "gone", reason] += 1
            del now[one.key]
        if one.value is None or "uid" not in one.value:
            continue
        kind = "instance" if "instance" in one.value else "node"
        now[one.key] = (kind, one.status, one.value["reason"])
        if one.status != before:
            found[kind, before, one.status, one.value["reason"]] += 1
    return found


def _call(day: Day, **inputs: int) -> None:
    """A steady load for some scrapes; some calls wait, some are of nodes that are not there."""
    until_at = time.monotonic() + 4
    callers = [threading.Thread(target=_keep_calling, args=(day, until_at, inputs)) for _ in "abc"]
    for one in callers:
        one.start()
    for one in callers:
        one.join()


def _keep_calling(day: Day, until_at: float, inputs: dict[str, int]) -> None:
    with day.world.caller() as caller:
        while time.monotonic() < until_at:
            caller.call(day.node, None, **inputs)
            caller.call("nobody", None, **inputs)
            time.sleep(0.02)


def _look_around(day: Day) -> None:
    """What is no call goes on to the api."""
    for _ in range(3):
        with urllib.request.urlopen(f"{day.world.system.addresses['gateway']}/v1/nodes") as answer:
            assert answer.status == 200
        _rest(1)


def _lose_one(day: Day) -> None:
    victim = day.world.statuses.instances(day.node, "HEALTHY")[0]
    day.world.system.kill_instance(victim)
    day.world.statuses.wait(victim, "UNHEALTHY", seconds=30)
    day.world.healthy(day.node, 2, seconds=40)


def _fail(day: Day) -> None:
    """A node that cannot start, calls of it that are refused, and bytes that are no command."""
    world = day.world
    day.broken = world.name()
    world.ask(day.broken, world.pin(bad=Damaged()), "y = 1", outputs=["y"])
    world.statuses.wait(f"default/{day.broken}", "UNHEALTHY", seconds=40)
    publish_bytes(world.system.kafka, b"no command at all", b"default/x")
    until("the gateway knows it", lambda: world.call(day.broken).status == 503)
    for _ in range(3):
        world.call(day.broken)
        _rest(1)


def _rest(steps: int) -> None:
    time.sleep(steps * STEP_SECONDS)


@contextmanager
def grafana() -> Iterator[Store]:
    """Its annotations, served by a thread of this process."""
    loop = asyncio.new_event_loop()
    ready, stopping = threading.Event(), asyncio.Event()
    made: list[Store] = []

    async def live() -> None:
        async with serving() as store:
            made.append(store)
            ready.set()
            await stopping.wait()

    serving_thread = threading.Thread(target=lambda: loop.run_until_complete(live()))
    serving_thread.start()
    ready.wait()
    try:
        yield made[0]
    finally:
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(stopping.set)
        serving_thread.join()
        loop.close()
