"""The operator's table at work: limits come from it, and a type that has gone stops no instance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from schemas.instance_types import InstanceType
from schemas.statuses import Reason
from services.provisioner.settings import ProvisionerSettings
from tests.services.provisioner.scenes import (
    Outside,
    Until,
    a_checkpoint,
    a_deployment,
    command,
    is_alive,
    pid_of,
    running,
)

GIB = 1024**3
TINY: dict[str, Any] = {"cpu_count": 1, "memory_bytes": GIB, "units_per_hour": 0.5}
OTHER: dict[str, Any] = {"cpu_count": 2, "memory_bytes": 2 * GIB, "units_per_hour": 2.0}


def offering(data: Path, **types: dict[str, Any]) -> dict[str, Any]:
    """The setting that names a table of these types."""
    path = data / "instance-types.json"
    path.write_text(json.dumps(types))
    return {"cellnode_instance_types": path}


def described(data: Path, fact: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads((data / "instances" / fact["instance"] / "instance.json").read_text()))


async def test_limits_come_from_the_operators_table_and_an_unknown_type_is_refused(
    kafka: str, data: Path, outside: Outside, until: Until
) -> None:
    digest = a_checkpoint(data)
    async with running(kafka, data, **offering(data, tiny=TINY | {"files_max": 99})):
        await outside.send(a_deployment(digest, number=1))
        await until(lambda: outside.outcomes())
        await outside.send(a_deployment(digest, number=2, instance_type="tiny"))
        await until(lambda: outside.instances("InstanceCreated"))
        (made,) = outside.instances("InstanceCreated")
        limits = described(data, made)["limits"]

    (refused, _) = outside.outcomes()
    assert (refused["reason"], refused["field"]) == ("INVALID", "spec.instance_type")
    assert (refused["remedy"], "'small'" in refused["sentence"]) == ("use one of tiny", True)
    assert limits == {
        name: value
        for name, value in InstanceType(**TINY, files_max=99).model_dump().items()
        if name != "units_per_hour"
    }


@pytest.mark.full
async def test_a_node_whose_type_is_offered_no_more_keeps_running_and_says_why_it_cannot_grow(
    kafka: str, data: Path, outside: Outside, until: Until
) -> None:
    digest = a_checkpoint(data)
    async with running(kafka, data, **offering(data, tiny=TINY)):
        await outside.send(a_deployment(digest, instance_type="tiny"))
        await until(lambda: outside.instances("InstanceCreated"))
    async with running(kafka, data, **offering(data, other=OTHER)):
        await outside.send(command("ScaleNode", 2, want=2))
        await until(lambda: outside.instances("InstanceRefused"))
        (kept,), (refused,) = (
            outside.instances("InstanceCreated"),
            outside.instances("InstanceRefused"),
        )
        was_alive = is_alive(pid_of(kept))
    async with running(kafka, data, **offering(data, tiny=TINY, other=OTHER)):
        await until(lambda: len(outside.instances("InstanceCreated")) == 2)

    assert was_alive
    assert refused["refused"]["reason"] == Reason.INSTANCE_TYPE_UNKNOWN
    assert "'tiny'; there are: other" in refused["refused"]["difference"][0]


def test_the_provisioners_settings_carry_the_table_to_the_provider(data: Path) -> None:
    settings = ProvisionerSettings.model_validate(offering(data, other=OTHER))

    assert list(settings.local().instance_types) == ["other"]
