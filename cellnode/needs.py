"""Which variables of a namespace a cell reads: what has to be pinned for it."""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterator
from dataclasses import dataclass

_STRAIGHT = (
    ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Import, ast.ImportFrom, ast.FunctionDef,
    ast.AsyncFunctionDef, ast.ClassDef, ast.Delete, ast.Expr,
)  # fmt: skip
_NAMED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.ExceptHandler)
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)


@dataclass(frozen=True)
class Needs:
    """Names that a cell reads without having set them, and those that it may have set before."""

    surely: frozenset[str]
    perhaps: frozenset[str]


def needs_of(cell: str) -> Needs:
    """What the cell reads of its surroundings; SyntaxError if it is no Python.

    Builtins are among the names: whoever pins knows which variables there are.
    """
    read = frozenset(_globals_read(symtable.symtable(cell, "<cell>", "exec")))
    assigned: set[str] = set()
    maybe: set[str] = set()
    surely: set[str] = set()
    perhaps: set[str] = set()
    for statement in ast.parse(cell).body:
        stored = set(_stored(statement))
        is_straight = isinstance(statement, _STRAIGHT)
        doubtful = maybe if is_straight else maybe | stored
        loaded = (_loaded(statement) & read) - assigned
        surely |= loaded - doubtful
        perhaps |= loaded & doubtful
        if is_straight:
            assigned |= stored
        maybe |= stored
    return Needs(frozenset(surely), frozenset(perhaps - surely))


def _globals_read(table: symtable.SymbolTable) -> Iterator[str]:
    """Names that this scope, or one within it, looks up among the globals."""
    is_module = table.get_type() == "module"
    for symbol in table.get_symbols():
        if symbol.is_referenced() and (is_module or symbol.is_global()):
            yield symbol.get_name()
        elif is_module and symbol.is_assigned():
            yield symbol.get_name()  # `count += 1` reads it too; the order of statements decides.
    for child in table.get_children():
        yield from _globals_read(child)


def _loaded(statement: ast.stmt) -> set[str]:
    """All names that are read anywhere in it, also by the functions that it defines."""
    names = (node for node in ast.walk(statement) if isinstance(node, ast.Name))
    loaded = {name.id for name in names if isinstance(name.ctx, (ast.Load, ast.Del))}
    changed = (node.target for node in ast.walk(statement) if isinstance(node, ast.AugAssign))
    return loaded | {target.id for target in changed if isinstance(target, ast.Name)}


def _stored(node: ast.AST) -> Iterator[str]:
    """Names that it binds in its own scope."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, (ast.Import, ast.ImportFrom)):
        for alias in node.names:
            yield alias.asname or alias.name.partition(".")[0]
    elif isinstance(node, _NAMED) and node.name:
        yield node.name
    if not isinstance(node, _SCOPES):
        for child in ast.iter_child_nodes(node):
            yield from _stored(child)
