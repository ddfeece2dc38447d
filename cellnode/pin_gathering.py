"""Which variables go into a checkpoint: those that can, what they need, and why others cannot."""

from __future__ import annotations

import re
import types
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cellnode.errors import PinError
from cellnode.pin_culprits import path_to_culprit
from cellnode.pin_modules import LocalModules
from cellnode.pin_pickling import Namespace, Pickled, pickled

VARIABLE_PATTERN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")
# What IPython keeps in a notebook's namespace for itself.
_NOTEBOOK_PATTERN = re.compile(r"(_+|_i{1,3}|_[iod]h|_i?\d+|In|Out|exit|quit|get_ipython)\Z")


@dataclass(frozen=True)
class Skipped:
    """A variable that is not in the checkpoint: where in it the trouble lies, and what it is."""

    variable: str
    path: str
    reason: str


@dataclass(frozen=True)
class Wanted:
    """What shall be pinned, and whether it is loaded once."""

    namespace: Namespace
    variables: Iterable[str] | None
    also: tuple[str, ...]
    check: bool
    shown: frozenset[str] = frozenset()  # Whose values the manifest shows as examples.


class Gathered:
    """What goes into a checkpoint."""

    def __init__(self, namespace: Namespace, shown: frozenset[str]) -> None:
        self.namespace = namespace
        self.shown = shown
        self.pickles: dict[str, Pickled] = {}
        self.modules: dict[str, str] = {}  # Bound name to module.
        self.local = LocalModules()
        self.skipped: list[Skipped] = []

    def take(self, name: str) -> None:
        value = self.namespace[name]
        is_module = issubclass(type(value), types.ModuleType)
        if is_module and not self.local.has(value.__name__):
            self.modules[name] = value.__name__
            return
        try:
            if not VARIABLE_PATTERN.match(name):
                raise PinError("only names of ASCII letters, digits and _ can be pinned")
            self.pickles[name] = pickled(self.namespace, (name,), self.local)
        except Exception as error:
            self.skip(name, self._path_to_culprit(name, value), error)

    def skip(self, name: str, path: str, error: Exception) -> None:
        self.skipped.append(Skipped(name, path, f"{type(error).__name__}: {error}"[:500]))

    def _path_to_culprit(self, name: str, value: Any) -> str:
        try:
            return path_to_culprit(name, value, self._is_picklable)
        except Exception:
            return name  # Its own code fails when it is looked into.

    def _is_picklable(self, value: Any) -> bool:
        try:
            pickled({**self.namespace, "value": value}, ("value",), self.local)
        except Exception:
            return False
        return True


def gather(wanted: Wanted) -> Gathered:
    gathered, variables = Gathered(wanted.namespace, wanted.shown), wanted.variables
    if variables is None:
        for name in sorted(_visible(wanted.namespace)):
            gathered.take(name)
    else:
        named = [variables] if isinstance(variables, str) else list(variables)
        _take_with_needs(gathered, [*named, *wanted.also])
        _refuse_skipped(gathered, named)
    for path, error in gathered.local.left_out.items():
        gathered.skip(path, path, error)
    return gathered


def _visible(namespace: Namespace) -> list[str]:
    shell = namespace["get_ipython"]() if callable(namespace.get("get_ipython")) else None
    hidden = getattr(shell, "user_ns_hidden", ())
    return [
        name
        for name, value in list(namespace.items())
        if not name.startswith("__")
        and name not in hidden
        and not _NOTEBOOK_PATTERN.match(name)
        and not is_ours(value)
    ]


def is_ours(value: Any) -> bool:
    """The notebook's `import cellnode` is no part of its state; instances have no cellnode."""
    # Not isinstance: that asks the value, and a proxy of nothing raises.
    kind = type(value)
    if issubclass(kind, types.ModuleType):
        module = value.__name__
    else:
        module = (value if issubclass(kind, type | types.FunctionType) else kind).__module__
    return str(module).partition(".")[0] == "cellnode"


def _take_with_needs(gathered: Gathered, wanted: list[str]) -> None:
    """Functions are useless without the variables that they read."""
    missing = [name for name in wanted if name not in gathered.namespace]
    if missing:
        raise PinError(f"there is no variable {', '.join(missing)}")
    seen: set[str] = set()
    todo = list(wanted)
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            gathered.take(name)
            needs = gathered.pickles[name].needs if name in gathered.pickles else set()
            todo.extend(needs)


def _refuse_skipped(gathered: Gathered, wanted: list[str]) -> None:
    for skipped in gathered.skipped:
        if skipped.variable in wanted:
            raise PinError(
                f"{skipped.path} cannot be pinned ({skipped.reason}); "
                f"leave {skipped.variable} out, or make it anew in the cell"
            )
