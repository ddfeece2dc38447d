"""Which Python runs an instance: the pin's own, or the one that the host has for all of them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from schemas.statuses import Reason
from services.chassis.bus_producer import RECORD_BYTES_MAX
from services.chassis.clock import SYSTEM_CLOCK
from services.chassis.settings import SettingsInvalid
from services.provisioner.providers import Order, Refused
from services.provisioner.providers.fitting import Fitting
from services.provisioner.providers.local import LocalProvider
from services.provisioner.settings import ProvisionerSettings
from tests.builders import a_node
from tests.services.provisioner.scenes import a_checkpoint

PREFIX = "CELLNODE_PROVISIONER_"
OTHER = {
    "python": {"implementation": "CPython", "version": "3.1.4", "executable": "/other"},
    "platform": {"system": "Linux", "machine": os.uname().machine},
    "packages": {"cloudpickle": "3.1.2"},
}


def fitting(data: Path, python: Path | None) -> Fitting:
    return Fitting(data / "store", data / "cache", 2**30, SYSTEM_CLOCK, python=python)


async def test_an_instance_runs_under_the_python_of_its_pin(data: Path) -> None:
    judge, spec = fitting(data, None), a_node(checkpoint=a_checkpoint(data)).spec

    assert judge.python_of(await judge.of(spec)) == sys.executable


async def test_the_python_that_the_host_names_must_fit_the_pin(data: Path, tmp_path: Path) -> None:
    other = tmp_path / "python"
    other.write_text(f"#!/bin/sh\necho '{json.dumps(OTHER)}'\n")
    other.chmod(0o755)

    with pytest.raises(Refused) as refused:
        await fitting(data, other).of(a_node(checkpoint=a_checkpoint(data)).spec)

    assert refused.value.why is Reason.PYTHON_MISMATCH
    assert "the node has CPython 3.1.4" in str(refused.value)


async def test_all_instances_run_under_the_python_that_the_host_names(
    data: Path, tmp_path: Path
) -> None:
    """As in an image, where no notebook's interpreter is."""
    ours = tmp_path / "python"
    ours.symlink_to(sys.executable)
    told = {"CELLNODE_DATA": str(data), f"{PREFIX}PYTHON": str(ours)}
    provider = LocalProvider(ProvisionerSettings.from_env(PREFIX, told).local(), SYSTEM_CLOCK)
    node = a_node(checkpoint=a_checkpoint(data))

    vm = await provider.create(Order("digits-a1b2c3-1", node.place, node.spec))
    written = await asyncio.to_thread(Path(vm.handle.directory, "instance.json").read_text)
    await provider.close()

    assert json.loads(written)["python"] == str(ours)


@pytest.mark.parametrize("python", ["python3", "/nowhere/python3"])
def test_a_python_that_is_not_there_stops_the_start(python: str) -> None:
    with pytest.raises(SettingsInvalid, match="there is no Python"):
        ProvisionerSettings.from_env(PREFIX, {f"{PREFIX}PYTHON": python})


def test_a_refusal_can_be_told_however_much_does_not_fit() -> None:
    lines = [f"package {n:06}: \ud800\0" + "x" * 5_000 for n in range(10_000)]

    refused = Refused(Reason.PACKAGE_MISSING, *lines)

    assert refused.difference[0].startswith("package 000000: ?\N{REPLACEMENT CHARACTER}x")
    assert refused.difference[-1] == "and 9936 more"
    assert len(json.dumps(refused.difference)) < RECORD_BYTES_MAX / 2
