"""Find what exactly in a variable cannot be pickled."""

from __future__ import annotations

import itertools
import types
from collections.abc import Callable, Iterator
from typing import Any

DEPTH_MAX = 12
CHILDREN_MAX = 1000


def path_to_culprit(name: str, value: Any, is_picklable: Callable[[Any], bool]) -> str:
    """Like `model.layers[3].lock`: the deepest part that fails on its own."""
    path, seen = name, {id(value)}
    for _ in range(DEPTH_MAX):
        for suffix, child in _children(value):
            if id(child) not in seen and not is_picklable(child):
                path, value = path + suffix, child
                seen.add(id(child))
                break
        else:
            return path
    return path


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    yield from itertools.islice(_all_children(value), CHILDREN_MAX)


def _all_children(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from ((f"[{key!r}]", each) for key, each in value.items())
    elif isinstance(value, list | tuple | set | frozenset):
        yield from ((f"[{index}]", each) for index, each in enumerate(value))
    elif isinstance(value, types.FunctionType):
        yield from _closure(value)
    elif isinstance(value, types.MethodType):
        yield ".__self__", value.__self__
    attributes = getattr(value, "__dict__", None)
    if isinstance(attributes, dict) and not isinstance(value, type):
        yield from ((f".{key}", each) for key, each in attributes.items())


def _closure(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    for variable, cell in zip(
        function.__code__.co_freevars, function.__closure__ or (), strict=True
    ):
        try:
            yield f".<{variable}>", cell.cell_contents
        except ValueError:
            continue  # Not bound yet.
