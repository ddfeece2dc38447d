"""Run one command: its exit code, and never a traceback for what people and networks do."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from typing import Any

from cyclopts.exceptions import (
    CoercionError,
    CycloptsError,
    MissingArgumentError,
    UnknownCommandError,
    UnknownOptionError,
    UnusedCliTokensError,
)

from cellnode.cli import exits
from cellnode.cli.app import COMMANDS, FAMILIES, HELP_COLUMNS, SYNONYMS, build
from cellnode.cli.exits import CommandFailed, wrong_usage
from cellnode.cli.failures import nearest, told
from cellnode.cli.screen import ReaderGone, console
from cellnode.errors import CellnodeError

_GUESS = " Did you mean "
_KINDS: dict[Any, str] = {int: "a whole number", float: "a number"}


def run(words: Sequence[str]) -> int:
    """The exit code; what went wrong has been said on standard error."""
    try:
        return _called(words)
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except (BrokenPipeError, ReaderGone):
        return _end_quietly()
    except CycloptsError as error:
        return told(usage_failure(error, words))
    except (CommandFailed, CellnodeError) as error:
        return told(error)
    except OSError as error:
        return told(CommandFailed(f"{error.strerror or error}: {error.filename or 'output'}"))


def _called(words: Sequence[str]) -> int:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # Whatever a locale lacks, no traceback.
    app = build()
    result = app(
        list(words),
        console=console(sys.stdout, columns=HELP_COLUMNS),  # It prints help alone.
        error_console=console(sys.stderr),
        exit_on_error=False,
        print_error=False,
        result_action="return_value",
    )
    sys.stdout.flush()
    return result if isinstance(result, int) else exits.DONE


def _end_quietly() -> int:
    """Who reads no further has what was wanted; nothing may complain when we end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return exits.DONE


def usage_failure(error: CycloptsError, words: Sequence[str]) -> CommandFailed:
    """What is wrong with the words, and what was probably meant."""
    chain = " ".join(error.command_chain or ())
    if isinstance(error, UnknownCommandError):
        return _unknown_command(chain, list(error.unused_tokens or words))
    sentence, guess, meant = str(error).partition(_GUESS)
    step = f"did you mean {meant}" if guess else f"see: cellnode {chain} --help".replace("  ", " ")
    return wrong_usage(_sentence(error, chain) or sentence.rstrip("."), step)


def _sentence(error: CycloptsError, chain: str) -> str:
    """In our words where they are clearer than the library's."""
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        name = error.keyword or error.argument.name
        return f"{name} needs a value" if name.startswith("-") else f"{chain} needs {name}"
    if isinstance(error, UnusedCliTokensError):
        return f"{chain} does not take {' '.join(error.unused_tokens or ())}"
    if isinstance(error, UnknownOptionError):
        return f"{chain} has no option {error.token.keyword or error.token.value}"
    if isinstance(error, CoercionError) and error.token and error.target_type in _KINDS:
        name = error.token.keyword or _argument(error)
        return f"{name}: {error.token.value!r} is not {_KINDS[error.target_type]}"
    return ""


def _argument(error: CoercionError) -> str:
    return error.argument.name if error.argument is not None else "a value"


def _unknown_command(chain: str, words: Sequence[str]) -> CommandFailed:
    word = words[0]
    if word.startswith("-"):
        return wrong_usage(f"{word} stands before a command", "first the command, then its options")
    ours = {name: name for name in (*COMMANDS, *FAMILIES)}
    ours |= {other: name for name, others in SYNONYMS.items() for other in others}
    close = word if word in ours else nearest(word, ours)
    if close and not chain:
        return wrong_usage(f"there is no command {word}", f"did you mean cellnode {ours[close]}?")
    step = f"see which there are: cellnode {chain} --help".replace("  ", " ")
    return wrong_usage(f"there is no command {f'{chain} {word}'.strip()}", step)
