"""What went wrong, as one sentence and the next step on standard error, and as an exit code."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable

from cellnode import errors
from cellnode.cli import exits
from cellnode.cli.exits import CommandFailed
from cellnode.cli.nodes_text import evidence_lines
from cellnode.cli.screen import console

NEAR = 0.7
START_ONE = "start one with: cellnode up"
WAIT_LONGER = "the command goes on; wait longer with --timeout SECONDS"
# Where the api names its own paths, we name our commands.
_STEPS = {
    "pin-unknown": "see which there are: cellnode pins",
    "checkpoint-unknown": "see which there are: cellnode checkpoint ls",
}


def told(error: Exception) -> int:
    """Say it on standard error; the exit code."""
    failure = failure_of(error)
    screen = console(sys.stderr)
    screen.print(f"[wrong]cellnode:[/] {_escaped(failure.sentence)}", markup=True)
    if failure.next_step:
        screen.print(f"  [quiet]→[/] {_escaped(failure.next_step)}", markup=True)
    return failure.code


def failure_of(error: Exception) -> CommandFailed:
    """The failure that ends the command."""
    if isinstance(error, CommandFailed):
        return error
    if isinstance(error, errors.ServerUnreachable):
        sentence = f"no cellnode server answers at {error.url}"
        return CommandFailed(sentence, next_step=START_ONE, code=exits.UNREACHABLE)
    if isinstance(error, errors.ProblemError):
        return _of_problem(error)
    if isinstance(error, errors.FileFailed):
        return _of_file(error)
    if isinstance(error, errors.WaitTimedOut):
        sentence = str(error).partition(" The command stays")[0]
        return CommandFailed(sentence, next_step=WAIT_LONGER, code=exits.TIMED_OUT)
    return CommandFailed(str(error), code=_CODES.get(type(error), exits.FAILED))


# A CellnodeError of no finer kind says that an argument is wrong.
_CODES: dict[type[Exception], int] = {
    errors.CellnodeError: exits.USAGE,
    errors.MarkError: exits.USAGE,
    errors.ValueNotSent: exits.USAGE,
}


def _of_file(error: errors.FileFailed) -> CommandFailed:
    """A cell that raised has failed; a file without a marked cell is a wrong one."""
    told = f"{error}\n{error.traceback.rstrip()}" if error.traceback else str(error)
    return CommandFailed(told, code=exits.FAILED if error.cell else exits.USAGE)


def _of_problem(error: errors.ProblemError) -> CommandFailed:
    sentence = error.detail or error.title
    if isinstance(error, errors.NodeUnhealthy):
        return _of_node(error, sentence)
    if isinstance(error, errors.CellFailed) and error.traceback:
        sentence = f"{error.title}\n{error.traceback.rstrip()}"
    elif error.field and error.field not in sentence:
        sentence = f"{error.field}: {sentence}"
    if isinstance(error, errors.ServerFailed) and error.request_id:
        sentence = f"{sentence} (request {error.request_id})"
    step = _STEPS.get(error.code) or error.remedy or ""
    return CommandFailed(sentence, next_step=step, code=_code(error))


def _of_node(error: errors.NodeUnhealthy, sentence: str) -> CommandFailed:
    """The evidence on lines of its own, since it is often a traceback."""
    evidence = error.document.get("evidence")
    if not isinstance(evidence, dict):
        return CommandFailed(sentence, next_step=error.remedy or "")
    told = "\n".join([sentence.partition("\n")[0], *evidence_lines(evidence)])
    node = sentence.partition(" ")[0]
    return CommandFailed(told, next_step=error.remedy or f"see also: cellnode logs {node}")


def _code(error: errors.ProblemError) -> int:
    if isinstance(error, errors.NotFound):
        return exits.NOT_FOUND
    return exits.TIMED_OUT if isinstance(error, errors.TimedOut) else exits.FAILED


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The word that was probably meant."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=NEAR)
    return close[0] if close else None


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
