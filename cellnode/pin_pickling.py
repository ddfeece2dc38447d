"""Pickle variables so that what shares objects stays together and the rest stays apart."""

from __future__ import annotations

import datetime
import enum
import functools
import importlib
import io
import pickle
import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cloudpickle
from cloudpickle.cloudpickle import _dynamic_class_reduce, _should_pickle_by_reference

from cellnode.pin_memory import Blocks, Memories, is_plain_array
from cellnode.pin_modules import LocalModules, namespace_of, reduced

Namespace = dict[str, Any]
# Smaller buffers are not worth a blob of their own.
OUT_OF_BAND_BYTES_MIN = 4096
PROTOCOL = 5
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: without it a class is compiled into the interpreter.


@dataclass
class Pickled:
    """Some variables as one pickle: its bytes, its large buffers, what they are made of."""

    names: tuple[str, ...]
    data: bytes
    buffers: list[memoryview]
    shareable: dict[int, Any]  # By id, the objects whose identity could matter to others.
    modules: set[str]  # That loading will import.
    needs: set[str]  # Variables that its functions read when they run.
    memories: Memories  # What its arrays lie in.

    @property
    def bytes(self) -> int:
        return len(self.data) + sum(buffer.nbytes for buffer in self.buffers)


def pickled(
    namespace: Namespace,
    names: tuple[str, ...],
    local: LocalModules,
    blocks: Blocks | None = None,
) -> Pickled:
    """The pickle of `{name: value}`; raises whatever the objects raise.

    Arrays that lie in one of the blocks are pickled as views of it.
    """
    file = io.BytesIO()
    buffers: list[memoryview] = []

    def keep_out_of_band(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < OUT_OF_BAND_BYTES_MIN:
            return True
        buffers.append(raw)
        return False

    pickler = _Pickler(file, namespace, keep_out_of_band, local, blocks=blocks)
    pickler.dump({name: namespace[name] for name in names})
    seen = [each for _, each in pickler.memo.copy().values()]
    shareable = {id(each): each for each in seen if _is_shareable(each, local)}
    shareable |= pickler.memories.owners
    modules = set(_modules(seen, local))
    data = file.getvalue()
    return Pickled(names, data, buffers, shareable, modules, pickler.needs, pickler.memories)


def pickled_together(namespace: Namespace, parts: list[Pickled], local: LocalModules) -> Pickled:
    """One pickle of all: what is one object, or one memory, for several of them stays so."""
    blocks = Memories.joined(part.memories for part in parts).blocks()
    if len(parts) == 1 and not blocks:
        return parts[0]
    names = tuple(sorted(name for part in parts for name in part.names))
    return pickled(namespace, names, local, blocks)


class _Pickler(cloudpickle.CloudPickler):  # type: ignore[misc]
    """Functions of the notebook see the restored namespace, as they saw the notebook's.

    So do those of modules beside it, which are restored whole.
    """

    def __init__(
        self,
        file: io.BytesIO,
        namespace: Namespace,
        buffer_callback: Callable[[pickle.PickleBuffer], bool],
        local: LocalModules,
        *,
        blocks: Blocks | None = None,
        is_trial: bool = False,
    ) -> None:
        super().__init__(file, protocol=PROTOCOL, buffer_callback=buffer_callback)
        self.namespace = namespace
        self.needs: set[str] = set()
        self.memories = Memories()
        self._blocks = blocks
        self._local = local
        self._is_trial = is_trial
        self.globals_ref[id(namespace)] = _Restored()

    def _dynamic_function_reduce(self, function: types.FunctionType) -> tuple[Any, ...]:
        module = self._module_of(function)
        if module is not None:
            self.globals_ref.setdefault(id(function.__globals__), namespace_of(module))
        made: tuple[Any, ...] = super()._dynamic_function_reduce(function)
        # The variables lie in groups of their own, or in their module; copies would hide them.
        slots = made[2][1]
        if function.__globals__ is self.namespace:
            self.needs.update(slots["__globals__"])
            slots["__globals__"] = {}
        elif module is not None:
            slots["__globals__"] = {}
        return made

    def _module_of(self, function: types.FunctionType) -> types.ModuleType | None:
        """The module beside the notebook in whose namespace it runs."""
        name: Any = function.__globals__.get("__name__")
        module = sys.modules[name] if self._local.has(name) else None
        return module if module and vars(module) is function.__globals__ else None

    def reducer_override(self, value: Any) -> Any:
        if is_plain_array(value):
            return self._array_reduced(value)
        if isinstance(value, types.ModuleType) and self._local.has(value.__name__):
            return self._module_reduced(value)
        if isinstance(value, type) and self._local.is_of_one(value):
            return _dynamic_class_reduce(value)
        if isinstance(value, types.FunctionType) and self._local.is_of_one(value):
            return self._dynamic_function_reduce(value)
        if isinstance(value, functools._lru_cache_wrapper) and not self._is_importable(value):
            return _LruCache(value.cache_parameters()), (value.__wrapped__,)
        if type(value) is functools.cached_property:
            # Before Python 3.12 it holds a lock.
            return functools.cached_property, (value.func,), {"attrname": value.attrname}
        return super().reducer_override(value)

    def _module_reduced(self, module: types.ModuleType) -> Any:
        if self._is_trial:  # What is in it is tried by itself.
            return str, (module.__name__,)
        return reduced(module, self._local.state_of(module, self._try))

    def _try(self, value: Any) -> None:
        def drop(_: pickle.PickleBuffer) -> bool:
            return False

        _Pickler(io.BytesIO(), self.namespace, drop, self._local, is_trial=True).dump(value)

    def _is_importable(self, value: Any) -> bool:
        return not self._local.is_of_one(value) and _is_importable(value)

    def _array_reduced(self, array: Any) -> Any:
        if self._blocks is None:
            self.memories.note(array)
        elif block := self._blocks.holding(array):
            return block.reduced(array)
        return NotImplemented


class _Main:
    """Pickles as `import_module("__main__")`: where checkpoints are loaded, the restored one."""

    def __reduce__(self) -> tuple[Any, ...]:
        return importlib.import_module, ("__main__",)


class _Restored:
    """Pickles as `vars(__main__)`, the restored namespace; loading it needs nothing of ours."""

    def __reduce__(self) -> tuple[Any, ...]:
        return vars, (_Main(),)


@dataclass
class _LruCache:
    """Pickles as the decorator; cloudpickle itself takes cached functions for imported ones."""

    parameters: Any

    def __call__(self, function: Callable[..., Any]) -> Any:
        return functools.lru_cache(**self.parameters)(function)

    def __reduce__(self) -> tuple[Any, ...]:
        return functools.lru_cache, (self.parameters["maxsize"], self.parameters["typed"])


def _is_importable(value: Any) -> bool:
    """Whether importing its module gives this very object."""
    module = sys.modules.get(getattr(value, "__module__", None) or "")
    if module is None or module.__name__ == "__main__":
        return False
    found: Any = module
    for part in value.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is value


# Their identity means nothing, or is made anew by loading.
_ATOMS = (
    str, bytes, int, float, complex, range, slice, type(None), type(...), types.CodeType,
    types.BuiltinFunctionType, types.MethodDescriptorType,
    types.WrapperDescriptorType, types.MethodWrapperType, types.ClassMethodDescriptorType,
    types.GetSetDescriptorType, enum.Enum,
    datetime.tzinfo, datetime.date, datetime.time, datetime.timedelta, _Main, _Restored, _LruCache,
)  # fmt: skip


def _is_shareable(value: Any, local: LocalModules) -> bool:
    if isinstance(value, types.ModuleType):
        return local.has(value.__name__)
    # Of a shared tuple only what lies in it matters, and that is looked at by itself.
    if isinstance(value, _ATOMS) or type(value) in (tuple, frozenset):
        return False
    if isinstance(value, type | types.FunctionType):
        return not _is_by_reference(value, local)
    # A dtype is one object for all arrays, in every process.
    return not any(each.__qualname__ == "dtype" for each in type(value).__mro__)


def _is_by_reference(value: type | types.FunctionType, local: LocalModules) -> bool:
    if local.is_of_one(value):
        return False
    is_static = isinstance(value, type) and not value.__flags__ & _HEAP_TYPE
    return is_static or bool(_should_pickle_by_reference(value))


def _modules(values: list[Any], local: LocalModules) -> Iterator[str]:
    for value in values:
        if isinstance(value, types.ModuleType):
            if not local.has(value.__name__):
                yield value.__name__
        elif isinstance(value, type | types.FunctionType):
            if _is_by_reference(value, local):
                yield value.__module__
        elif isinstance(value, types.BuiltinFunctionType) and value.__module__:
            yield value.__module__


def together(pickles: list[Pickled]) -> list[tuple[str, ...]]:
    """The names in groups, such that no object is in two of them."""
    leader = {each.names: each.names for each in pickles}

    def root(names: tuple[str, ...]) -> tuple[str, ...]:
        while leader[names] != names:
            names = leader[names]
        return names

    owner: dict[int, tuple[str, ...]] = {}
    for each in pickles:
        for identity in each.shareable:
            first, second = root(owner.setdefault(identity, each.names)), root(each.names)
            leader[max(first, second)] = min(first, second)
    groups: dict[tuple[str, ...], list[str]] = {}
    for each in pickles:
        groups.setdefault(root(each.names), []).extend(each.names)
    return sorted(tuple(sorted(names)) for names in groups.values())
