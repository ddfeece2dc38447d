"""Errors as a page: problems over HTTP, the SDK's exceptions, exit codes of the command."""

from __future__ import annotations

from collections.abc import Iterator

from cellnode import errors as sdk_errors
from cellnode.cli.exits import MEANINGS
from docs import texts
from docs.render import sentence, table
from schemas.http import PROBLEMS


def reference() -> str:
    problems = sorted(PROBLEMS.items(), key=lambda one: one[1].status)
    rows = (
        (str(status), f"`{code}`", title, _exception(status, code))
        for code, (status, title) in problems
    )
    parts = [
        "## Over HTTP",
        texts.ERRORS.strip(),
        table(("status", "code", "title", "in Python"), rows),
        "## In Python",
        texts.SDK_ERRORS.strip(),
        "\n".join(error_tree(sdk_errors.CellnodeError)),
        "## Of the command",
        texts.EXIT_CODES.strip(),
        table(("code", "means"), ((str(code), said) for code, said in MEANINGS.items())),
    ]
    return "\n\n".join(parts)


def error_tree(kind: type[Exception], depth: int = 0) -> Iterator[str]:
    """A list in lists: each exception with its sentence, below the one that it is a kind of."""
    yield f"{'  ' * depth}- `{kind.__name__}`: {sentence(kind)}"
    for child in kind.__subclasses__():
        if child.__module__ == sdk_errors.__name__:
            yield from error_tree(child, depth + 1)


def _exception(status: int, code: str) -> str:
    return f"`{type(sdk_errors.ProblemError.of(status, {'code': code})).__name__}`"
