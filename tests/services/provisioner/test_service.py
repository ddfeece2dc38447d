"""The whole service: nodes become instances, with real process trees and a real broker."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from schemas.statuses import InstanceStatus, Reason
from schemas.topics import Topic
from tests.builders import an_id
from tests.services.provisioner.scenes import (
    Outside,
    Until,
    a_checkpoint,
    a_deployment,
    command,
    is_alive,
    living_in,
    pid_of,
    running,
)

HEALTHY, UNHEALTHY = InstanceStatus.HEALTHY, InstanceStatus.UNHEALTHY


def created(outside: Outside) -> list[dict[str, Any]]:
    return outside.instances("InstanceCreated")


def revision(outside: Outside) -> str:
    return str(outside.tables[Topic.NODES]["default/digits"]["revision"])


async def test_an_instance_is_on_record_before_it_is_made(
    kafka: str, data: Path, outside: Outside, until: Until
) -> None:
    async with running(kafka, data):
        await outside.send(a_deployment(a_checkpoint(data), want=2))
        await until(lambda: len(created(outside)) == 2)

    for fact in created(outside):
        assert outside.facts(fact["instance"]) == ["InstanceWanted", "InstanceCreated"]
        assert fact["endpoint"].startswith("unix:")
        assert is_alive(pid_of(fact))
    assert [fact["n"] for fact in created(outside)] == [1, 2]
    assert outside.tables[Topic.NODES]["default/digits"]["next_n"] == 3


async def test_what_has_exited_is_told_and_replaced_at_once(
    kafka: str, data: Path, outside: Outside, until: Until
) -> None:
    async with running(kafka, data):
        await outside.send(a_deployment(a_checkpoint(data)))
        await until(lambda: created(outside))
        (first,) = created(outside)
        os.kill(pid_of(first), signal.SIGKILL)
        await until(lambda: outside.facts(first["instance"])[-1] == "gone", 2.0)
        await until(lambda: created(outside), 2.0)

    facts = outside.facts(first["instance"])
    assert facts == [
        "InstanceWanted", "InstanceCreated", "InstanceExited", "InstanceDeleting", "gone",
    ]  # fmt: skip
    assert outside.exit_of(first["instance"])["signal"] == signal.SIGKILL
    (second,) = created(outside)
    assert second["n"] == 2


async def test_deleting_a_node_leaves_nothing_behind(
    kafka: str, data: Path, outside: Outside, until: Until
) -> None:
    async with running(kafka, data):
        await outside.send(a_deployment(a_checkpoint(data), want=2))
        await until(lambda: len(created(outside)) == 2)
        made = [fact["instance"] for fact in created(outside)]
        await outside.send(command("DeleteNode", 2))
        await until(lambda: "default/digits" not in outside.tables[Topic.NODES])
        await until(lambda: outside.instances() == [])

    assert living_in(data) == []
    assert list((data / "instances").iterdir()) == []
    last = max(outside.written_ms[instance] for instance in made)
    assert last <= outside.written_ms["default/digits"]


async def test_a_name_used_again_is_another_node(
    kafka: str, data: Path, outside: Outside, until: Until
) -> None:
    digest = a_checkpoint(data)
    async with running(kafka, data):
        await outside.send(a_deployment(digest))
        await until(lambda: created(outside))
        await outside.send(command("DeleteNode", 2))
        await until(lambda: "default/digits" not in outside.tables[Topic.NODES])
        await outside.send(a_deployment(digest, number=3))
        await until(lambda: created(outside))

    (fact,) = created(outside)
    assert fact["uid"] == str(an_id(3))


async def tell_healthy(outside: Outside, told: set[str]) -> None:
    """As health, of all that were made and not told yet."""
    for fact in created(outside):
        if fact["instance"] not in told:
            await outside.tell_status(fact, HEALTHY)
            told.add(fact["instance"])


async def test_new_ones_are_healthy_before_old_ones_leave(
    kafka: str, data: Path, outside: Outside, until: Until
) -> None:
    healthy: set[str] = set()
    fewest = 2
    async with running(kafka, data):
        await outside.send(a_deployment(a_checkpoint(data), want=2))
        await until(lambda: len(created(outside)) == 2)
        await tell_healthy(outside, healthy)
        await outside.send(command("RecreateNode", 2))
        deadline = time.monotonic() + 20
        while [fact["revision"] for fact in outside.instances()] != [revision(outside)] * 2:
            assert time.monotonic() < deadline, outside.instances()
            await tell_healthy(outside, healthy)
            await asyncio.sleep(0.01)
            staying = {fact["instance"] for fact in outside.instances() if not fact["deleting"]}
            fewest = min(fewest, len(staying & healthy))

    assert fewest == 2


async def test_scaling_changes_the_number_and_replaces_nothing(
    kafka: str, data: Path, outside: Outside, until: Until
) -> None:
    async with running(kafka, data):
        await outside.send(a_deployment(a_checkpoint(data)))
        await until(lambda: len(created(outside)) == 1)
        await outside.send(command("ScaleNode", 2, want=3))
        await until(lambda: len(created(outside)) == 3)
        await outside.send(command("ScaleNode", 3, want=1))
        await until(lambda: len(outside.instances()) == 1)

    assert [fact["n"] for fact in created(outside)] == [1]
    assert len(living_in(data)) > 0


async def test_there_is_no_vm_beyond_the_most_until_there_is_room(
    kafka: str, data: Path, outside: Outside, until: Until
) -> None:
    async with running(kafka, data, instances_max=1):
        await outside.send(a_deployment(a_checkpoint(data), want=2))
        await until(lambda: created(outside) and outside.instances("InstanceRefused"))
        (full,) = outside.instances("InstanceRefused")
        (made,) = created(outside)
        await outside.send(command("ScaleNode", 2, want=1))
        await until(lambda: len(outside.instances()) == 1)

    assert full["refused"]["reason"] == Reason.NO_CAPACITY
    assert full["handle"] is None
    assert created(outside) == [made]


async def test_a_missing_checkpoint_is_refused_later_each_time_and_mended_in_place(
    kafka: str, data: Path, outside: Outside, until: Until
) -> None:
    digest = a_checkpoint(data)
    away = (data / "store").rename(data / "away")
    async with running(kafka, data):
        await outside.send(a_deployment(digest))
        await until(lambda: outside.instances("InstanceRefused"))
        await until(lambda: outside.instances()[0]["refused"]["times"] == 2)
        (refused,) = outside.instances()
        (data / "store").exists() or away.rename(data / "store")
        await until(lambda: created(outside))

    assert refused["refused"]["reason"] == Reason.CHECKPOINT_MISSING
    assert digest in refused["refused"]["difference"][0]
    (made,) = created(outside)
    assert (made["n"], made["refused"]) == (1, None)


async def test_what_cannot_load_is_replaced_with_growing_delay_and_never_piles_up(
    kafka: str, data: Path, outside: Outside, until: Until
) -> None:
    async with running(kafka, data):
        await outside.send(a_deployment(a_checkpoint(data)))
        for n in (1, 2):
            await until(lambda n=n: [f for f in created(outside) if f["n"] == n])
            (failed,) = [f for f in created(outside) if f["n"] == n]
            await outside.tell_status(failed, UNHEALTHY, Reason.LOAD_FAILED)
        await until(lambda: outside.facts(failed["instance"])[-1] == "gone")
        await until(lambda: created(outside))

    node = outside.tables[Topic.NODES]["default/digits"]
    assert node["failures_in_a_row"] == 2
    assert node["create_not_before"] is not None
    assert [fact["n"] for fact in outside.instances()] == [3]


@pytest.mark.parametrize("seconds", [0.0, 0.3])
async def test_what_stays_in_trouble_is_replaced(
    kafka: str, data: Path, outside: Outside, until: Until, seconds: float
) -> None:
    async with running(kafka, data):
        await outside.send(a_deployment(a_checkpoint(data), replace_after_seconds=seconds))
        await until(lambda: created(outside))
        (first,) = created(outside)
        await outside.tell_status(first, UNHEALTHY, Reason.PROBES_FAILED)
        await until(lambda: not is_alive(pid_of(first)))
        await until(lambda: [fact["n"] for fact in outside.instances()] == [2])


async def test_a_vm_that_nobody_knows_of_is_removed(
    kafka: str, data: Path, outside: Outside, until: Until
) -> None:
    (data / "instances" / "ghost-3fa9c1-1").mkdir(parents=True)
    async with running(kafka, data, unknown_after_seconds=0.1) as process:
        await until(lambda: process.readiness.is_ready)
        await until(lambda: not list((data / "instances").iterdir()), 12.0)
