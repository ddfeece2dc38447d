"""Fixtures of the runtime's tests."""

from collections.abc import Iterator

import pytest

from tests.runtime.instances import Instances, RunningInstance, made_instances


@pytest.fixture
def instances() -> Iterator[Instances]:
    with made_instances() as made:
        yield made


@pytest.fixture(scope="module")
def shared_doubler() -> Iterator[RunningInstance]:
    """One instance for many requests that change nothing in it."""
    schema = {"type": "array", "items": {"type": "integer"}}
    with made_instances() as made:
        inputs = [{"name": "x", "schema": schema}]
        yield made.start("y = [v * 2 for v in x]", inputs=inputs, outputs=["y"]).ready()
