"""Where the command writes: tables and colours on a terminal, plain columns in a pipe."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time
from typing import IO, Any, NoReturn

from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

NAME_COLUMNS, STATUS_COLUMNS = 24, 10  # Of lines that come one after the other.
PIPE_COLUMNS = 100_000  # A pipe has no width: nothing is wrapped or cut.
STYLES = {
    "HEALTHY": "green",
    "UNHEALTHY": "bold red",
    "CREATED": "yellow",
    "STARTED": "yellow",
    "PREPARING": "yellow",
    "UNDEFINED": "bright_black",
    "SUSPENDED": "blue",
    "DELETING": "magenta",
    "gone": "bright_black",
    "accepted": "bright_black",
    "rejected": "bold red",
}
THEME = Theme({"heading": "bold", "quiet": "bright_black", "name": "cyan", "wrong": "bold red"})
Cell = str | Text


class ReaderGone(Exception):
    """Whoever read our output has stopped, and so has our work."""


class _Console(Console):
    def on_broken_pipe(self) -> NoReturn:
        self.quiet = True
        raise ReaderGone


def wants_colours(stream: IO[str]) -> bool:
    """Where a person reads, and has not said otherwise."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def console(stream: IO[str], columns: int | None = None) -> Console:
    """As wide as its terminal; a pipe is as wide as it is told, else nothing is broken there."""
    in_pipe = columns or PIPE_COLUMNS
    return _Console(
        file=stream,
        theme=THEME,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=columns is None and not stream.isatty(),
        width=None if stream.isatty() else in_pipe,
        force_terminal=stream.isatty(),
        color_system="auto" if wants_colours(stream) else None,
    )


class Screen:
    """Standard output, in the form that was asked for."""

    def __init__(self, *, as_json: bool = False, stream: IO[str] | None = None) -> None:
        self.as_json = as_json
        self.console = console(sys.stdout if stream is None else stream)

    @property
    def is_terminal(self) -> bool:
        return self.console.is_terminal

    def say(self, *parts: Cell | tuple[str, str]) -> None:
        """One line for a person; nothing where JSON was asked for."""
        if not self.as_json:
            self.line(Text.assemble(*parts))

    def paragraph(self, text: str) -> None:
        """Sentences, broken between words where the terminal ends."""
        if not self.as_json and self.is_terminal:
            self.console.print(Text(text))
        else:
            self.say(text)

    def line(self, text: Text) -> None:
        """One line, however long: what is copied from it must stay whole."""
        if self.is_terminal:
            self.console.print(text, soft_wrap=True)
        else:
            self.write(text.plain.rstrip() + "\n")

    def json(self, document: Any) -> None:
        """One document: in lines of its own where a person reads, else in one line."""
        indent = 2 if self.is_terminal else None
        text = json.dumps(document, indent=indent, ensure_ascii=False, default=as_sent)
        if self.console.color_system is None:
            return self.write(text + "\n")
        from rich.json import JSON

        return self.console.print(JSON(text))

    def json_line(self, document: Any) -> None:
        """One of many documents, each in a line of its own."""
        self.write(json.dumps(document, ensure_ascii=False, default=as_sent) + "\n")

    def write(self, text: str) -> None:
        """Exactly this, at once."""
        try:
            self.console.file.write(text)
            self.console.file.flush()
        except BrokenPipeError:
            raise ReaderGone from None

    def table(self, titles: Sequence[str], rows: Iterable[Sequence[Cell]]) -> None:
        """Columns: a table on a terminal, lines of aligned words in a pipe."""
        if not self.is_terminal:
            return self.write(aligned(titles, rows))
        grid = Table(box=None, padding=(0, 3, 0, 0), header_style="quiet", pad_edge=False)
        for title in titles:
            grid.add_column(title, no_wrap=title not in WRAPPED, overflow="fold")
        for row in rows:
            grid.add_row(*row)
        return self.console.print(grid)


WRAPPED = {"WHY", "VARIABLES", "PINS"}


def aligned(titles: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """Columns as wide as their longest word, two blanks between them."""
    lines = [list(titles), *([plain(cell) for cell in row] for row in rows)]
    widths = [max(len(line[n]) for line in lines) for n in range(len(titles))]
    return "".join(
        "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip()
        + "\n"
        for line in lines
    )


def plain(cell: Cell) -> str:
    """The cell's words, its lines one after the other."""
    text = cell.plain if isinstance(cell, Text) else cell
    return text.replace("\n", " | ")


def as_sent(value: Any) -> str:
    """What the SDK made of a text, as the text that the api sent."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    return str(value)


def status_text(status: str, columns: int = 0) -> Text:
    """A status in its colour, as wide as its column."""
    return Text(status.ljust(columns), STYLES.get(status, ""))
