"""What can be said of a marked cell before anything is pinned: names that are not there."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from cellnode.errors import MarkError, PinError
from cellnode.marks import Mark
from cellnode.needs import needs_of


def check(mark: Mark, cell: str, namespace: Mapping[str, Any]) -> list[str]:
    """Refuse what cannot work (MarkError, PinError); sentences about what looks like a slip."""
    if not cell.strip():
        raise MarkError("the cell is empty; write what a request shall run below the mark")
    try:
        needs, bound = needs_of(cell), set(_bound(ast.parse(cell)))
    except SyntaxError as error:
        raise PinError(
            f"line {(error.lineno or 0) + 1}: {error.msg}; the cell of a node is plain Python, "
            "without magics and shell commands"
        ) from None
    there = {*namespace, *dir(builtins), *mark.inputs}
    if missing := sorted(needs.surely - there):
        raise PinError(
            f"the cell reads {_listed(missing)}, which this notebook does not have; "
            "run the cells that make it, or name it with --inputs"
        )
    if unset := [name for name in mark.outputs if name not in {*bound, *namespace}]:
        raise MarkError(f"--outputs {_listed(unset)}: the cell sets no variable of this name")
    read = needs.surely | needs.perhaps
    return [
        *(f"The cell does not read the input {name}." for name in mark.inputs if name not in read),
        *(
            f"The cell does not set the output {name}; each answer carries the pinned value."
            for name in mark.outputs
            if name not in bound
        ),
    ]


def untyped(mark: Mark, namespace: Mapping[str, Any]) -> list[str]:
    """Inputs without a value here: nothing tells their types, and no call has an example."""
    return [name for name in mark.inputs if name not in namespace]


def _bound(tree: ast.Module) -> Iterator[str]:
    """Names that anything in the cell binds, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
