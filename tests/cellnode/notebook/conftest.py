"""One running system and one kernel for the notebook's tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.cellnode.notebook.kernel import Kernel
from tests.e2e.system import System
from tests.e2e.system_running import living
from tests.sources import ROOT


@pytest.fixture(scope="session")
def notebook_system() -> Iterator[System]:
    with living(System()) as system:
        yield system


def environment_of(system: System) -> dict[str, str]:
    """Of whoever uses the system from a notebook on the same machine."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "CELLNODE_DATA": str(system.data),
        "IPYTHONDIR": str(system.data / "ipython"),
    }


@pytest.fixture(scope="session")
def kernel(notebook_system: System) -> Iterator[Kernel]:
    kernel = Kernel(environment_of(notebook_system))
    kernel.run("%load_ext cellnode")
    try:
        yield kernel
    finally:
        kernel.stop()
