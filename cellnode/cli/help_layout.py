"""How help looks: names in one column, what they mean beside them, no frames."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

NAMES_WIDTH_MIN = 13
NAMES_WIDTH_MAX = 29
TITLE, NAME, QUIET = "bold", "cyan", "dim"


class Layout:
    """Renders the parts of a help page, one after the other."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: Any) -> None:
        if not panel.entries:
            return
        labels = [label_of(entry) for entry in panel.entries]
        width = max(NAMES_WIDTH_MIN, *(min(len(label), NAMES_WIDTH_MAX) for label in labels))
        console.print()
        console.print(Text(str(panel.title), TITLE))
        rows = zip(labels, (text_of(entry.description) for entry in panel.entries), strict=True)
        console.print(Padding(_two_columns(rows, width), (0, 0, 0, 2), expand=False))

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        words = str(usage or "").strip().removeprefix("Usage:").strip()
        if words:
            console.print(Text.assemble(("Usage: ", TITLE), words))

    def render_description(self, console: Console, options: ConsoleOptions, text: Any) -> None:
        if text:
            console.print()
            console.print(flowing(text_of(text).strip()))


def _two_columns(rows: Iterable[tuple[str, str]], width: int) -> Table:
    """A name that is too long for its column has a line of its own."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(width=width, no_wrap=True, overflow="ignore", style=NAME)
    grid.add_column()
    for label, text in rows:
        grid.add_row(label, text)
    return grid


def label_of(entry: Any) -> str:
    """A positional's name, or `-f, --follow`, or `--tail N`."""
    positional = getattr(entry, "positional_label", None)
    if positional:
        return str(positional)
    shorts = [*entry.positive_shorts, *entry.negative_shorts]
    metavar = getattr(entry, "metavar", None)
    names = ", ".join([*shorts, *entry.positive_names, *entry.negative_names])
    return f"{names} {metavar}" if metavar else names


def text_of(description: Any) -> str:
    """What the library wraps around a sentence is taken off again."""
    inner = getattr(description, "primary_renderable", description)
    return inner.plain if isinstance(inner, Text) else str(inner or "")


def flowing(text: str) -> Text:
    """Paragraphs as wide as there is room; indented lines are examples and stay as they are."""
    shown = Text()
    before = ""
    for line in text.splitlines():
        goes_on = line.strip() and before.strip() and not (line + before).startswith("  ")
        if shown:
            shown.append(" " if goes_on and not before.startswith("  ") else "\n")
        shown.append(line, NAME if line.startswith("  ") else "")
        before = line
    return shown
