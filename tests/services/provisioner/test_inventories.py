"""Python and packages are compared before a start, and every difference is said."""

from __future__ import annotations

import os
import sys
import venv
from pathlib import Path

import pytest

from schemas.checkpoints import Inventory, Manifest, Platform, Python
from schemas.statuses import Reason
from services.chassis.clock import SYSTEM_CLOCK
from services.provisioner.providers import ProviderFailed, Refused
from services.provisioner.providers.inventories import Inventories, compare
from services.provisioner.providers.starting import PACKAGES

PROGRAM = PACKAGES / "runtime" / "interpreter" / "inventory.py"
HERE = Python(implementation="CPython", version="3.11.7", executable="/usr/bin/python")
MACHINE = Platform(system="Linux", machine="x86_64")


def manifest(python: Python = HERE, platform: Platform = MACHINE, **packages: str) -> Manifest:
    return Manifest(
        format=1, python=python, platform=platform, cloudpickle="3.1.2", packages=packages
    )


def inventory(**packages: str) -> Inventory:
    return Inventory(python=HERE, platform=MACHINE, packages=packages)


def inventories() -> Inventories:
    return Inventories(PROGRAM, dict(os.environ), SYSTEM_CLOCK)


def install_extra(environment: Path) -> None:
    """As an installer leaves it."""
    (site,) = environment.glob("lib/python3*/site-packages")
    (site / "extra-1.5.dist-info").mkdir()
    (site / "extra-1.5.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: extra\nVersion: 1.5\n"
    )


def test_what_fits_is_not_refused() -> None:
    other_patch = HERE.model_copy(update={"version": "3.11.2"})

    compare(manifest(other_patch, numpy="2.0"), inventory(numpy="2.0", scipy="1.0"))


def test_every_missing_and_different_package_is_named() -> None:
    with pytest.raises(Refused) as caught:
        compare(manifest(numpy="2.0", scipy="1.0"), inventory(numpy="1.9"))

    assert caught.value.why is Reason.PACKAGE_MISSING
    assert caught.value.difference == (
        "scipy 1.0 is not installed",
        "numpy 2.0 was pinned, 1.9 is installed",
    )


def test_a_package_of_another_version_is_a_mismatch() -> None:
    with pytest.raises(Refused) as caught:
        compare(manifest(numpy="2.0"), inventory(numpy="1.9"))

    assert caught.value.why is Reason.PACKAGE_MISMATCH


@pytest.mark.parametrize(
    ("python", "platform"),
    [
        (HERE.model_copy(update={"version": "3.12.0"}), MACHINE),
        (HERE.model_copy(update={"implementation": "PyPy"}), MACHINE),
        (HERE, MACHINE.model_copy(update={"machine": "aarch64"})),
    ],
)
def test_another_python_or_machine_is_refused(python: Python, platform: Platform) -> None:
    with pytest.raises(Refused) as caught:
        compare(manifest(python, platform), inventory())

    assert caught.value.why is Reason.PYTHON_MISMATCH


async def test_an_interpreter_is_asked_once() -> None:
    known = inventories()

    first = await known.of(sys.executable)

    assert first.python.version == ".".join(str(part) for part in sys.version_info[:3])
    assert "pydantic" in first.packages
    assert await known.of(sys.executable) is first


async def test_it_is_asked_again_when_a_package_is_installed(tmp_path: Path) -> None:
    venv.create(tmp_path, with_pip=False, symlinks=True)
    executable, known = str(tmp_path / "bin" / "python"), inventories()
    before = await known.of(executable)
    install_extra(tmp_path)

    after = await known.of(executable)

    assert "extra" not in before.packages
    assert after.packages["extra"] == "1.5"


async def test_a_python_that_is_not_there_is_refused() -> None:
    with pytest.raises(Refused, match="there is no Python at '/nowhere/python'"):
        await inventories().of("/nowhere/python")


async def test_a_program_that_is_no_python_is_a_failure_of_the_provider() -> None:
    with pytest.raises(ProviderFailed):
        await inventories().of("/bin/false")
