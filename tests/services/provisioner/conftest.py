"""A data directory whose instances are all ended with the test."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.services.provisioner.local_scene import Scene
from tests.services.provisioner.scenes import Outside, living_in


@pytest.fixture
def data() -> Iterator[Path]:
    """Short, so that sockets fit into the instances' own directories."""
    path = Path(tempfile.mkdtemp(prefix="cn-", dir="/tmp"))
    yield path
    for pid in living_in(path):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(path)


@pytest.fixture
async def scene(data: Path) -> AsyncIterator[Scene]:
    made = Scene(data)
    yield made
    await made.provider.close()


@pytest.fixture
async def outside(kafka: str) -> AsyncIterator[Outside]:
    """A program beside the provisioner."""
    async with Outside(kafka) as program:
        yield program
