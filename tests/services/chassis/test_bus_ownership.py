"""Between the group and the handlers: no record without ownership, no revoke before its handler."""

from __future__ import annotations

import asyncio
import contextlib

from aiokafka import TopicPartition

from services.chassis.bus_ownership import Gate

BOTH = {TopicPartition("t", 0), TopicPartition("t", 1)}


class Owning:
    """Notes what it is told, and takes as long as it is made to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.may_go_on = asyncio.Event()
        self.told: list[str] = []

    async def on_assigned(self, partitions: frozenset[int]) -> None:
        self.told.append(f"taking {sorted(partitions)}")
        await self.may_go_on.wait()
        if self.error:
            raise self.error
        self.told.append("taken")

    async def on_revoked(self, partitions: frozenset[int]) -> None:
        self.told.append(f"revoked {sorted(partitions)}")


def a_gate(owning: Owning) -> tuple[Gate, list[BaseException]]:
    failures: list[BaseException] = []
    return Gate(owning, failures.append), failures


async def test_a_record_waits_until_its_partition_is_taken_over() -> None:
    """The listener itself returns at once: the group's task would send no heartbeats meanwhile."""
    gate, _ = a_gate(owning := Owning())
    await asyncio.wait_for(gate.on_partitions_assigned(BOTH), 1)
    entering = asyncio.create_task(gate.enter(0))
    await asyncio.sleep(0.02)
    assert not entering.done()
    owning.may_go_on.set()
    assert await entering
    assert owning.told == ["taking [0, 1]", "taken"]


async def test_a_revoke_waits_for_the_handler_that_runs() -> None:
    """F15: otherwise this record is handled here and by the next owner at once."""
    gate, _ = a_gate(owning := Owning())
    owning.may_go_on.set()
    await gate.on_partitions_assigned(BOTH)
    assert await gate.enter(1)
    revoking = asyncio.create_task(gate.on_partitions_revoked(BOTH))
    await asyncio.sleep(0.02)
    assert not revoking.done()
    gate.leave()
    await revoking
    assert owning.told[-1] == "revoked [0, 1]"
    assert not await gate.enter(1), "what was fetched before belongs to the next owner"


async def test_a_record_that_waits_while_its_partition_is_taken_away_is_not_handled() -> None:
    gate, _ = a_gate(owning := Owning())
    owning.may_go_on.set()
    await gate.on_partitions_assigned(BOTH)
    assert await gate.enter(1)
    revoking = asyncio.create_task(gate.on_partitions_revoked(BOTH))
    await asyncio.sleep(0.02)
    entering = asyncio.create_task(gate.enter(0))
    await asyncio.sleep(0.02)
    gate.leave()
    await revoking
    assert not await asyncio.wait_for(entering, 1)
    await gate.on_partitions_assigned(BOTH)
    assert await asyncio.wait_for(gate.enter(0), 1), "whoever was refused holds nothing"


async def test_a_handler_that_outlasts_half_a_session_does_not_hold_up_a_revoke() -> None:
    gate = Gate(Owning(), lambda _: None, session_seconds=0.1)
    gate._owned = frozenset({0})
    assert await gate.enter(0)
    await asyncio.wait_for(gate.on_partitions_revoked(BOTH), 1)


async def test_a_take_over_that_is_overtaken_by_a_revoke_counts_for_nothing() -> None:
    gate, failures = a_gate(owning := Owning())
    await gate.on_partitions_assigned(BOTH)
    await asyncio.sleep(0)
    await gate.on_partitions_revoked(BOTH)
    owning.may_go_on.set()
    assert not await gate.enter(0)
    assert "taken" not in owning.told
    assert failures == []


async def test_a_take_over_that_fails_ends_the_process_and_lets_nothing_through() -> None:
    gate, failures = a_gate(owning := Owning(OSError("no")))
    owning.may_go_on.set()
    await gate.on_partitions_assigned(BOTH)
    assert not await gate.enter(0)
    assert [str(failure) for failure in failures] == ["no"]


async def test_a_closed_gate_lets_nothing_through() -> None:
    gate, _ = a_gate(owning := Owning())
    owning.may_go_on.set()
    await gate.on_partitions_assigned(BOTH)
    assert await gate.enter(0)
    gate.leave()
    await gate.close()
    assert not await gate.enter(0)
    await gate.on_partitions_assigned(BOTH)  # A group that is being left may still assign.
    assert not await gate.enter(0)
    assert owning.told == ["taking [0, 1]", "taken"]


class Deaf(Owning):
    """Loses the first cancellation, as `wait_for` does when what it waited for comes with it."""

    async def on_assigned(self, partitions: frozenset[int]) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await self.may_go_on.wait()
        await super().on_assigned(partitions)


async def test_a_take_over_that_loses_its_cancellation_does_not_hold_up_a_revoke() -> None:
    gate, _ = a_gate(owning := Deaf())
    await gate.on_partitions_assigned(BOTH)
    await asyncio.sleep(0)
    revoking = asyncio.create_task(gate.on_partitions_revoked(BOTH))
    done, _ = await asyncio.wait({revoking}, timeout=2)
    owning.may_go_on.set()
    assert done, "the group waits for us, and gives up"
    assert "taken" not in owning.told
