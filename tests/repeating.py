"""Tests of another module for one that runs them on other servers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

Test = Callable[..., Any]


def repeated(
    module: ModuleType,
    *,
    using: Iterable[str] = (),
    not_using: Iterable[str] = (),
    leaving_out: Iterable[str] = (),
) -> dict[str, Test]:
    """By name: those with one of these fixtures, and none of those. A name left out must exist."""
    found = {name: test for name, test in vars(module).items() if name.startswith("test_")}
    for name in leaving_out:
        del found[name]
    wanted, unwanted = set(using), set(not_using)
    return {
        name: test
        for name, test in found.items()
        if (not wanted or wanted & _fixtures(test)) and not unwanted & _fixtures(test)
    }


def _fixtures(test: Test) -> set[str]:
    return set(inspect.signature(test).parameters)
