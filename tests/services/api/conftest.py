"""One system for a whole file of tests: broker, Redis, provisioner, health and the api."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import pytest_asyncio

from schemas.topics import Topic
from services.embedded.broker import EmbeddedBroker
from services.health.app import Health
from tests.services.api.servers import serving_redis
from tests.services.api.world import PARTITIONS, World, system
from tests.services.provisioner.scenes import living_in


@pytest.fixture(scope="module")
def data() -> Iterator[Path]:
    """Short, so that sockets fit into the instances' own directories."""
    path = Path(tempfile.mkdtemp(prefix="cn-", dir="/tmp"))
    yield path
    for pid in living_in(path):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(path, ignore_errors=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(data: Path) -> AsyncIterator[World]:
    """Shared by the tests of a file: each uses nodes of its own."""
    topics = [topic.value for topic in Topic]
    with EmbeddedBroker(topics, PARTITIONS) as broker, serving_redis() as redis:
        async with system(broker.address, redis.url, data) as made:
            yield made


@pytest.fixture(scope="module")
def health(world: World) -> Health:
    """The health service of the system."""
    assert world.health is not None
    return world.health
