"""The promises once more, asked for over HTTP instead of on the bus."""

from collections.abc import Iterator

import pytest

from tests.e2e import test_promises as by_the_bus
from tests.e2e.bus import Follower
from tests.e2e.door import HttpWorld
from tests.e2e.system import System, traces_of
from tests.e2e.test_promises import NO_CHECKPOINT

pytestmark = pytest.mark.full

# F has other words here; Y is about the bus itself.
ELSEWHERE = {"test_f_a_", "test_y_who"}

for name, test in vars(by_the_bus).items():
    if name.startswith("test_") and not any(name.startswith(start) for start in ELSEWHERE):
        globals()[name] = test


@pytest.fixture
def world(system: System, statuses: Follower) -> Iterator[HttpWorld]:
    world = HttpWorld(system, statuses)
    yield world
    world.forget()


def test_f_a_node_without_a_checkpoint_is_refused_and_starts_nothing(world: HttpWorld) -> None:
    missing, without = world.name(), world.name()

    unknown = world.ask(missing, NO_CHECKPOINT, "y = 1", outputs=["y"])
    nameless = world.apply(without, {"cell": "y = 1", "outputs": ["y"]})

    assert (unknown["status"], unknown["code"]) == (404, "checkpoint-unknown")
    assert NO_CHECKPOINT in unknown["detail"]
    assert (nameless["status"], nameless["field"]) == (422, "checkpoint")
    assert nameless["remedy"]
    assert not world.statuses.of(missing)
    assert not world.statuses.of(without)
    assert not [trace for trace in traces_of(world.system.data) if missing in trace]
