"""A system's life around a test: started before, stopped and removed after, whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from tests.e2e.system import System, traces_of

AnySystem = TypeVar("AnySystem", bound=System)


@contextmanager
def living(system: AnySystem) -> Iterator[AnySystem]:
    """It runs; the test may end it as it likes."""
    system.start()
    try:
        yield system
    finally:
        system.stop()
        system.remove()


@contextmanager
def leaving_nothing(system: AnySystem) -> Iterator[AnySystem]:
    """It runs; once it has stopped nothing of it may be left."""
    with living(system):
        yield system
        system.stop()
        assert traces_of(system.data) == []
