"""Nobody acts on what may be old: a proof is asked for, and is good for a part of the session."""

from __future__ import annotations

import pytest

from schemas.errors import NotOwner
from schemas.topics import Topic
from services.chassis.clock import Clock
from services.provisioner.standing import SESSION_SHARE, Standing

SESSION_SECONDS = 8.0


class StoppedClock(Clock):
    """Moves only when it is told to: a process that was paused wakes up much later."""

    seconds = 100.0

    def monotonic(self) -> float:
        return self.seconds


class Bus:
    """What lies on the bus: perhaps the mark of another owner, which is read up to now only."""

    def __init__(self) -> None:
        self.partitions = frozenset({0, 3})
        self.taken_over: frozenset[int] = frozenset()
        self.reads = 0

    async def up_to_now(self, topic: Topic, partition: int) -> None:
        self.reads += 1
        self.partitions -= self.taken_over


def standing() -> tuple[Standing, Bus, StoppedClock]:
    bus, clock = Bus(), StoppedClock()
    return Standing(bus, bus, SESSION_SECONDS, clock), bus, clock


async def test_who_was_paused_reads_first_that_another_has_taken_over() -> None:
    mine, bus, clock = standing()
    await mine.sure(3)

    clock.seconds += SESSION_SECONDS
    bus.taken_over = frozenset({3})

    with pytest.raises(NotOwner):
        await mine.sure(3)
    await mine.sure(0)


async def test_a_proof_is_good_for_a_while() -> None:
    mine, bus, clock = standing()

    for _ in range(3):
        await mine.sure(3)
        clock.seconds += SESSION_SECONDS * SESSION_SHARE / 2

    assert bus.reads == 1
    clock.seconds += SESSION_SECONDS * SESSION_SHARE
    await mine.sure(3)
    assert bus.reads == 2
