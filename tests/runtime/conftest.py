"""Fixtures of the runtime's tests."""

from collections.abc import Iterator

import pytest

from tests.runtime.instances import Instances, made_instances


@pytest.fixture
def instances() -> Iterator[Instances]:
    with made_instances() as made:
        yield made
