"""The command `cellnode`. Help and version answer at once: their text is written beforehand.

The library that parses the other commands takes longer to import than help may take to answer.
`make docs` writes the pages with that library, and a test compares them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

HELP_FLAGS = {"--help", "-h"}
PAGE_COLUMNS = 80
PAGES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pages")
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code, as `cellnode --help` lists them."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    try:
        said = _at_once(words)
        if said is not None:
            sys.stdout.write(said)
            sys.stdout.flush()
            return 0
        from cellnode.cli.run import run

        return run(words)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        sys.stderr.write(f"cellnode: {error.strerror or error}\n")
        return 1


def _at_once(words: Sequence[str]) -> str | None:
    """What needs no library: the version, or a page of help; None for all else."""
    if words == ["--version"]:
        return f"cellnode {version()}\n"
    if words and words[-1] not in HELP_FLAGS:
        return None
    path = os.path.join(PAGES, f"{'-'.join(['cellnode', *words[:-1]])}.txt")
    if _is_narrow() or not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8") as page:
        text = page.read()
    return text if _wants_colours() else plain(text)


def plain(text: str) -> str:
    """Without what sets colours: every `ESC [ ... m`."""
    first, *others = text.split("\x1b[")
    return first + "".join(part.partition("m")[2] for part in others)


def version() -> str:
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("cellnode")
    except PackageNotFoundError:
        return "of a checkout that is not installed"


def _wants_colours() -> bool:
    environment = os.environ
    is_dumb = environment.get("TERM") == "dumb" or environment.get("NO_COLOR")
    return sys.stdout.isatty() and not is_dumb


def _is_narrow() -> bool:
    if not sys.stdout.isatty():
        return False
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns < PAGE_COLUMNS
    except OSError:
        return False
