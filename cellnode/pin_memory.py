"""Arrays of numpy that overlap in memory: pickled as one block, and where each lies in it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

BASES_MAX = 100  # Numpy itself keeps one base; other libraries may chain them.


def is_plain_array(value: Any) -> bool:
    """Whose bytes are all there is to it: no subclass, no objects in it, not empty."""
    numpy: Any = sys.modules.get("numpy")  # Without it there are no arrays.
    if numpy is None or type(value) is not numpy.ndarray:
        return False
    return bool(value.size) and not value.dtype.hasobject


def owner_of(array: Any) -> Any:
    """What holds the memory: the array itself, the one that it is a view of, or a buffer."""
    numpy: Any = sys.modules["numpy"]
    owner = array
    for _ in range(BASES_MAX):
        below = None  # Of all else that may hold memory nothing is asked: its code may raise.
        if isinstance(owner, memoryview):
            below = owner.obj
        elif isinstance(owner, numpy.ndarray):
            below = owner.base
        if below is None:
            break
        owner = below
    return owner


@dataclass(frozen=True)
class Extent:
    """The addresses between which an array lies; the end is not part of it."""

    begin: int
    end: int

    @classmethod
    def of(cls, array: Any) -> Extent:
        spans = [(n - 1) * stride for n, stride in zip(array.shape, array.strides, strict=True)]
        first = array.__array_interface__["data"][0]
        begin = first + sum(span for span in spans if span < 0)
        return cls(begin, first + sum(span for span in spans if span > 0) + array.itemsize)

    def holds(self, other: Extent) -> bool:
        return self.begin <= other.begin and other.end <= self.end


class _Window:
    """Some bytes of memory as numpy may look at them; keeps alive whose they are."""

    def __init__(self, extent: Extent, owner: Any, *, is_writeable: bool) -> None:
        self._owner = owner
        self.__array_interface__ = {
            "version": 3,
            "shape": (extent.end - extent.begin,),
            "typestr": "|u1",
            "data": (extent.begin, not is_writeable),
        }


@dataclass(frozen=True)
class Block:
    """The memory that some arrays lie in together, as an array of bytes."""

    extent: Extent
    data: Any

    def reduced(self, array: Any) -> tuple[Any, ...]:
        """How pickle makes the array again on the block, with numpy alone."""
        offset = array.__array_interface__["data"][0] - self.extent.begin
        made = (type(array), (array.shape, array.dtype, self.data, offset, array.strides))
        if array.flags.writeable == self.data.flags.writeable:
            return made
        return (*made, False, None, None, type(array).setflags)  # As `array.setflags(False)`.


class Memories:
    """The plain arrays that were met, by the memory that holds them."""

    def __init__(self) -> None:
        self.owners: dict[int, Any] = {}  # Kept alive: another object must not get its id.
        self._arrays: dict[int, list[Any]] = {}

    def note(self, array: Any) -> None:
        owner = owner_of(array)
        self.owners[id(owner)] = owner
        self._arrays.setdefault(id(owner), []).append(array)

    def blocks(self) -> Blocks:
        """What several arrays overlap in; arrays that overlap with none need no block."""
        found = {
            owner: list(_blocks(self.owners[owner], arrays))
            for owner, arrays in self._arrays.items()
            if len(arrays) > 1
        }
        return Blocks({owner: blocks for owner, blocks in found.items() if blocks})

    @staticmethod
    def joined(all_of: Iterable[Memories]) -> Memories:
        whole = Memories()
        for each in all_of:
            whole.owners.update(each.owners)
            for owner, arrays in each._arrays.items():
                whole._arrays.setdefault(owner, []).extend(arrays)
        return whole


@dataclass(frozen=True)
class Blocks:
    """The blocks of a pickle, by the id of what holds the memory."""

    of_owner: dict[int, list[Block]]

    def __bool__(self) -> bool:
        return bool(self.of_owner)

    def holding(self, array: Any) -> Block | None:
        extent = Extent.of(array)
        blocks = self.of_owner.get(id(owner_of(array)), ())
        return next((block for block in blocks if block.extent.holds(extent)), None)


def _blocks(owner: Any, arrays: list[Any]) -> Iterator[Block]:
    numpy: Any = sys.modules["numpy"]
    for run in _overlapping(arrays):
        if len(run) > 1:
            extents = [extent for extent, _ in run]
            extent = Extent(extents[0].begin, max(each.end for each in extents))
            is_writeable = any(array.flags.writeable for _, array in run)
            yield Block(extent, numpy.asarray(_Window(extent, owner, is_writeable=is_writeable)))


def _overlapping(arrays: list[Any]) -> Iterator[list[tuple[Extent, Any]]]:
    """Runs of arrays, each of which overlaps with what came before it."""
    run: list[tuple[Extent, Any]] = []
    end = 0
    for extent, array in sorted(
        ((Extent.of(array), array) for array in arrays), key=lambda one: one[0].begin
    ):
        if run and extent.begin >= end:
            yield run
            run = []
        run.append((extent, array))
        end = max(end, extent.end) if len(run) > 1 else extent.end
    if run:
        yield run
