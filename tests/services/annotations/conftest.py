"""A Grafana for a test: its annotations, over HTTP."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.services.annotations.store import Store, serving


@pytest_asyncio.fixture
async def store() -> AsyncIterator[Store]:
    async with serving() as made:
        yield made
