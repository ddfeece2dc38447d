"""Metered seconds against the truth of real process trees, through ends that nobody saw."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import BusUnavailable
from schemas.events import InstanceUsage
from schemas.instances import Exit, Instance
from schemas.topics import Topic
from schemas.usage import HOUR, hour_of, seconds_by_hour
from services.chassis.clock import SYSTEM_CLOCK, Clock
from services.chassis.process import Process
from services.provisioner.measures import Measures
from services.provisioner.metering import Metering
from services.provisioner.settings import ProvisionerSettings
from tests.builders import NOON, a_node, after, an_instance
from tests.services.provisioner.scenes import (
    Outside,
    Until,
    a_checkpoint,
    a_deployment,
    began_at,
    command,
    is_alive,
    pid_of,
    running,
)

OFTEN: dict[str, Any] = {"metering_seconds": 0.1}
OFF_SECONDS_MAX = 1.0  # As promised


def seconds_of(outside: Outside, instance: str) -> float:
    """As whoever reads the topic sums them up."""
    bodies = [body for topic, _, body in outside.log if topic == Topic.USAGE.value and body]
    records = [InstanceUsage.model_validate(body) for body in bodies]
    found = seconds_by_hour(records)
    return sum(seconds for (key, _), seconds in found.items() if key == instance)


def is_closed(outside: Outside, instance: str) -> bool:
    return any(key.startswith(f"{instance}@") for key in outside.tables[Topic.USAGE])


async def made(outside: Outside, until: Until, data: Path, want: int = 1) -> list[dict[str, Any]]:
    await outside.send(a_deployment(a_checkpoint(data), want=want))
    await until(lambda: len(outside.instances("InstanceCreated")) == want)
    return outside.instances("InstanceCreated")


@pytest.mark.full
async def test_what_is_deleted_is_metered_up_to_its_end_and_before_its_tombstone(
    kafka: str, data: Path, outside: Outside, until: Until
) -> None:
    async with running(kafka, data):
        (fact,) = await made(outside, until, data)
        name, begun = fact["instance"], began_at(pid_of(fact))
        await asyncio.sleep(1.0)
        await outside.send(command("DeleteNode", 2))
        await until(lambda: not is_alive(pid_of(fact)))
        ended = SYSTEM_CLOCK.now()
        await until(lambda: outside.facts(name)[-1] == "gone")

    assert abs(seconds_of(outside, name) - (ended - begun).total_seconds()) < OFF_SECONDS_MAX
    keys = [(topic, key, body is None) for topic, key, body in outside.log]
    closing = next(n for n, one in enumerate(keys) if one[1].startswith(f"{name}@"))
    assert closing < keys.index((Topic.INSTANCES.value, name, True))


@pytest.mark.full
async def test_an_end_that_nobody_watched_is_metered_to_the_moment(
    kafka: str, data: Path, outside: Outside, until: Until
) -> None:
    async with running(kafka, data, **OFTEN):
        first, second = await made(outside, until, data, want=2)
    os.kill(pid_of(first), signal.SIGKILL)
    ended = SYSTEM_CLOCK.now()
    begun = datetime.fromisoformat(first["created_at"])
    await asyncio.sleep(2.0)
    async with running(kafka, data, **OFTEN):
        await until(lambda: is_closed(outside, first["instance"]))
        lived = (ended - begun).total_seconds()
        assert abs(seconds_of(outside, first["instance"]) - lived) < OFF_SECONDS_MAX
        since = datetime.fromisoformat(second["created_at"])
        await until(lambda: seconds_of(outside, second["instance"]) > lived + 2.0)
    lives = (SYSTEM_CLOCK.now() - since).total_seconds()
    assert abs(seconds_of(outside, second["instance"]) - lives) < OFF_SECONDS_MAX


class StageClock(Clock):
    moment = NOON

    def now(self) -> datetime:
        return self.moment


class Stage:
    """A metering alone, with everything around it at hand."""

    def __init__(self, *instances: Instance) -> None:
        self.records = {one.instance: one for one in instances}
        self.lives = set(self.records)
        self.told: list[InstanceUsage] = []
        self.is_away = False
        self.clock = StageClock()
        process = Process("provisioner", ProvisionerSettings(), clock=self.clock)
        here: Any = self
        self.metering = Metering(
            process, here, here, self.publish, measures=Measures(process.metrics)
        )

    async def at(self, seconds: float) -> list[InstanceUsage]:
        """What a round then says."""
        before = len(self.told)
        self.clock.moment = NOON + timedelta(seconds=seconds)
        await self.metering.round()
        return self.told[before:]

    async def publish(self, record: InstanceUsage) -> None:
        if self.is_away:
            raise BusUnavailable("away")
        self.told.append(record)

    async def living(self, instances: list[Instance]) -> frozenset[str]:
        return frozenset(one.instance for one in instances if one.instance in self.lives)

    def all_instances(self) -> list[Instance]:
        return list(self.records.values())

    def instance(self, _: str, key: str) -> Instance | None:
        return self.records.get(key)

    async def put_fact(self, instance: Instance, kind: Any, **changes: Any) -> Instance:
        fact = self.records[instance.instance] = instance.with_fact(
            kind, self.clock.now(), **changes
        )
        return fact


def alive(n: int = 1, **changes: Any) -> Instance:
    return an_instance(a_node(), n, instance_type="small", created_at=NOON, **changes)


async def test_an_hour_is_closed_once_and_noted_in_the_record() -> None:
    stage = Stage(alive())
    await stage.at(3599)
    assert [one.seconds for one in await stage.at(3601)] == [3600.0, 1.0]
    assert stage.records["digits-3fa9c1-1"].metered_until == hour_of(NOON) + HOUR
    assert [one.seconds for one in await stage.at(3602)] == [2.0]


async def test_who_was_not_found_alive_is_not_metered_further() -> None:
    """A provisioner that was stopped for an hour knows nothing of that hour."""
    stage = Stage(alive(1), alive(2))
    await stage.at(10)
    stage.lives.discard("digits-3fa9c1-2")

    assert {one.instance for one in await stage.at(3700)} == {"digits-3fa9c1-1"}


async def test_an_exit_has_the_last_word_once() -> None:
    stage = Stage(alive(exited=Exit(at=after(5.5))))

    assert [(one.seconds, one.is_open) for one in await stage.at(60)] == [(5.5, False)]
    assert await stage.at(120) == []


async def test_what_could_not_be_told_is_told_later() -> None:
    stage = Stage(alive())
    stage.is_away = True
    with pytest.raises(BusUnavailable):
        await stage.at(3700)
    stage.is_away = False

    assert [one.seconds for one in await stage.at(7201)] == [3600.0, 3600.0, 1.0]
