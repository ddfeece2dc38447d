"""Usage outlives `cellnode up`, however it ends, and stays true to what the kernel saw."""

from __future__ import annotations

import time

import pytest

from tests.e2e.bus import Follower
from tests.e2e.lives import Lives, largest_difference, metered_by_http
from tests.e2e.system import System
from tests.e2e.waiting import until
from tests.e2e.world import World

pytestmark = pytest.mark.full


def deployed(system: System, want: int) -> str:
    with Follower(system.kafka) as statuses:
        world = World(system, statuses)
        return world.deploy(world.pin(), "y = 1", outputs=["y"], want=want)


def off_by(system: System, node: str, lives: Lives) -> float:
    """Waits until all that have ended are told of to the second."""

    def difference() -> float:
        metered = metered_by_http(system, node)
        truth = {one: lives.seconds()[one] for one in lives.ended}
        told = {one: metered.get(one, 0.0) for one in truth}
        return largest_difference(told, truth)

    deadline = time.monotonic() + 30
    while (off := difference()) > 1.0 and time.monotonic() < deadline:
        time.sleep(0.2)
    return off


def test_usage_survives_ctrl_c(own_system: System) -> None:
    node = deployed(own_system, want=2)
    with Lives(own_system, node) as lives:
        until("both are watched", lambda: len(lives.begun) == 2)
        time.sleep(3)
        own_system.stop()
        until("both ends are seen", lambda: len(lives.ended) == 2)
        own_system.start()

        assert off_by(own_system, node, lives) <= 1.0


def test_usage_survives_a_kill_of_everything_and_an_end_that_nobody_saw(
    own_system: System,
) -> None:
    node = deployed(own_system, want=2)
    with Lives(own_system, node) as lives:
        until("both are watched", lambda: len(lives.begun) == 2)
        time.sleep(1)
        own_system.kill()
        own_system.kill_agent(min(lives.begun))
        time.sleep(3)
        own_system.start()
        own_system.kill_agent(max(lives.begun))
        until("both ends are seen", lambda: len(lives.ended) >= 2)

        assert off_by(own_system, node, lives) <= 1.0
