"""How instances leave: balancing first, then the drain, then everything at once."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from schemas.statuses import InstanceStatus, Reason
from tests.services.provisioner.scenes import (
    Outside,
    Until,
    a_checkpoint,
    a_deployment,
    command,
    is_alive,
    is_listening,
    pid_of,
    running,
)

HEALTHY, DELETING = InstanceStatus.HEALTHY, InstanceStatus.DELETING


async def test_an_instance_in_balancing_leaves_only_after_health_has_said_so(
    kafka: str, data: Path, outside: Outside, until: Until
) -> None:
    async with running(kafka, data, deleting_seen_seconds=30.0):
        await outside.send(a_deployment(a_checkpoint(data)))
        await until(lambda: outside.instances("InstanceCreated"))
        (made,) = outside.instances()
        await outside.tell_status(made, HEALTHY)
        await outside.settled()
        await outside.send(command("DeleteNode", 2))
        await until(lambda: outside.instances("InstanceDeleting"))
        (leaving,) = outside.instances()
        await outside.settled()
        assert is_alive(pid_of(made))
        await outside.tell_status(leaving, DELETING, Reason.DELETE_REQUESTED)
        await until(lambda: not is_alive(pid_of(made)))


@pytest.mark.parametrize(("serves", "least", "most"), [(True, 1.0, 9.0), (False, 0.0, 0.9)])
async def test_only_who_was_in_balancing_refuses_for_a_while(
    kafka: str, data: Path, outside: Outside, until: Until, serves: bool, least: float, most: float
) -> None:
    limits = {"drain_seconds_min": 1.0, "drain_seconds_max": 5.0, "deleting_seen_seconds": 0.0}
    async with running(kafka, data, **limits):
        await outside.send(a_deployment(a_checkpoint(data)))
        await until(lambda: outside.instances("InstanceCreated"))
        (made,) = outside.instances()
        await until(lambda: is_listening(made["endpoint"]))
        await outside.tell_status(made, HEALTHY if serves else InstanceStatus.STARTED)
        await outside.settled()
        await outside.send(command("DeleteNode", 2))
        began = time.monotonic()
        await until(lambda: not is_alive(pid_of(made)))

    assert least <= time.monotonic() - began <= most


async def test_many_silent_ones_at_once_are_not_all_replaced(
    kafka: str, data: Path, outside: Outside, until: Until
) -> None:
    """Perhaps it is the checker that is blind."""
    spec = a_deployment(a_checkpoint(data), want=4, replace_after_seconds=0.1)
    async with running(kafka, data, resync_seconds=0.1):
        await outside.send(spec)
        await until(lambda: len(outside.instances("InstanceCreated")) == 4)
        before = outside.instances()
        for fact in before:
            await outside.tell_status(fact, InstanceStatus.UNHEALTHY, Reason.PROBES_FAILED)
        await until(lambda: len([f for f in before if not is_alive(pid_of(f))]) == 1)
        for _ in range(5):
            await outside.settled()

    assert len([fact for fact in before if is_alive(pid_of(fact))]) == 3
