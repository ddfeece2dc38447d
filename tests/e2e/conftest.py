"""One running system for all end-to-end tests, since starting it takes seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.bus import Follower
from tests.e2e.system import System
from tests.e2e.system_running import leaving_nothing, living
from tests.e2e.world import World


@pytest.fixture(scope="session")
def system() -> Iterator[System]:
    """`cellnode up` in a directory of its own; at the end nothing of it may be left."""
    with leaving_nothing(System()) as system:
        yield system


@pytest.fixture(scope="session")
def statuses(system: System) -> Iterator[Follower]:
    with Follower(system.kafka) as follower:
        yield follower


@pytest.fixture
def world(system: System, statuses: Follower) -> Iterator[World]:
    """The running system; what the test deploys is deleted after it."""
    world = World(system, statuses)
    yield world
    world.forget()


@pytest.fixture(scope="session")
def records(system: System) -> Iterator[Follower]:
    """The topic `nodes` as anyone may read it."""
    with Follower(system.kafka, "cellnode.nodes") as follower:
        yield follower


@pytest.fixture(scope="session")
def facts(system: System) -> Iterator[Follower]:
    """The topic `instances` as anyone may read it."""
    with Follower(system.kafka, "cellnode.instances") as follower:
        yield follower


@pytest.fixture(scope="module")
def module_world(system: System, statuses: Follower) -> Iterator[World]:
    """For nodes that several tests of a module share."""
    world = World(system, statuses)
    yield world
    world.forget()


@pytest.fixture
def own_system() -> Iterator[System]:
    """A system that the test may end as it likes."""
    with living(System()) as system:
        yield system


@pytest.fixture
def small_world() -> Iterator[World]:
    """A system of its own with room for two instances."""
    system = System({"CELLNODE_PROVISIONER_INSTANCES_MAX": "2"})
    with leaving_nothing(system), Follower(system.kafka) as statuses:
        yield World(system, statuses)
