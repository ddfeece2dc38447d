"""Modules from disk that no instance has: those beside the notebook travel by value, as it does."""

from __future__ import annotations

import functools
import operator
import os
import site
import sys
import sysconfig
import types
from collections.abc import Callable
from typing import Any

from cellnode.pin_packages import distributions_by_module

# What an import sets, and a restored module must not say of another machine.
_NOT_STATE = frozenset(
    {"__builtins__", "__cached__", "__file__", "__loader__", "__name__", "__path__", "__spec__"}
)
_NEVER = frozenset({"cellnode", "cloudpickle"})  # Ours, and what every instance has.
Trial = Callable[[Any], None]  # Pickles a value for nothing, and raises what its objects raise.


class LocalModules:
    """Which modules are the notebook's own, and what of each can be pinned; asked once a pin."""

    def __init__(self) -> None:
        self.left_out: dict[str, Exception] = {}  # By path, such as `helpers.lock`.
        self._states: dict[str, dict[str, Any]] = {}
        self._known: dict[str, bool] = {}

    def has(self, name: Any) -> bool:
        """Whether a module of this name is imported, and from the user's own files."""
        if not isinstance(name, str):
            return False
        if name not in self._known:
            self._known[name] = _is_local(sys.modules.get(name))
        return self._known[name]

    def is_of_one(self, value: Any) -> bool:
        """Whether a class or function is at home in one of them."""
        return self.has(getattr(value, "__module__", None))

    def state_of(self, module: types.ModuleType, trial: Trial) -> dict[str, Any]:
        """Its variables, without those that cannot be pinned."""
        if module.__name__ not in self._states:
            state = self._states[module.__name__] = dict[str, Any]()
            if hasattr(module, "__path__"):
                state["__path__"] = []
            for name, value in list(vars(module).items()):
                if name not in _NOT_STATE and self._can(trial, value, f"{module.__name__}.{name}"):
                    state[name] = value
        return self._states[module.__name__]

    def _can(self, trial: Trial, value: Any, path: str) -> bool:
        try:
            trial(value)
        except Exception as error:
            self.left_out[path] = error
            return False
        return True


def reduced(module: types.ModuleType, state: dict[str, Any]) -> tuple[Any, ...]:
    """How pickle makes it again: an empty module in its place among all, then its variables.

    A module of a package brings the package along, as an import does.
    """
    name: Any = module.__name__
    parent = sys.modules.get(name.rpartition(".")[0])
    made = _Call(types.ModuleType, name)
    named = name if parent is None else _Call(operator.getitem, [name, parent], 0)
    return dict.setdefault, (_Call(getattr, sys, "modules"), named, made), state


class _Call:
    """Pickles as what this call gives where it is loaded; loading needs nothing of ours."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self._reduced = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self._reduced


def namespace_of(module: types.ModuleType) -> Any:
    """Pickles as the restored module's own namespace, for its functions to look into."""
    return _Call(vars, module)


def _is_local(module: types.ModuleType | None) -> bool:
    if module is None or module.__name__ == "__main__":
        return False
    top = module.__name__.partition(".")[0]
    if top in _NEVER or top in sys.stdlib_module_names:
        return False
    file = getattr(module, "__file__", None)
    paths = [file] if file else list(getattr(module, "__path__", ()))
    if not paths or (file and not file.endswith(".py")):
        return False  # Compiled: there is no value to take along.
    return not any(_is_installed(path) for path in paths) and top not in _distributed()


def _is_installed(path: str) -> bool:
    return os.path.realpath(path).startswith(_library_folders())


@functools.cache
def _library_folders() -> tuple[str, ...]:
    paths = sysconfig.get_paths()
    folders = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    folders |= {*site.getsitepackages(), site.getusersitepackages()}
    return tuple(os.path.join(os.path.realpath(folder), "") for folder in folders)


@functools.cache
def _distributed() -> frozenset[str]:
    """Top names that installed distributions say are theirs, wherever the files lie."""
    return frozenset(distributions_by_module())
