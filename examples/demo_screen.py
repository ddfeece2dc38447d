"""What the demo shows: panels and bars on a terminal, plain lines in a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
)
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

STATUS_STYLES = {
    "UNDEFINED": "dim",
    "CREATED": "cyan",
    "STARTED": "blue",
    "PREPARING": "yellow",
    "HEALTHY": "bold green",
    "UNHEALTHY": "bold red",
    "DELETING": "magenta",
    "gone": "dim",
}
PLAIN_STEPS = 4  # Lines that a bar leaves in a pipe.
SHADES = " ░▒▓█"
INDENT = 3


class Bar(Protocol):
    """Told after each thing that was done."""

    def __call__(self) -> None: ...


class PerSecond(ProgressColumn):
    """How many are done in a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f}/s" if speed else "", style="dim")


class Screen:
    """Writes the story to standard output."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)
        self.is_terminal = self.console.is_terminal
        self._step = 0

    def step(self, title: str) -> None:
        """A new part of the story."""
        self._step += 1
        if self.is_terminal:
            self.console.print()
            self.console.print(
                Rule(f"[bold]{self._step}  {escape(title)}[/]", align="left", style="cyan")
            )
        else:
            self._plain(f"\n{self._step}. {title}")

    def say(self, text: str) -> None:
        """A sentence; may hold rich markup."""
        self.console.print(f"   {text}", soft_wrap=not self.is_terminal)

    def status(self, seconds: float, who: str, status: str, sentence: str) -> None:
        """One status event, as an outside consumer has just heard it."""
        if self.is_terminal:
            style = STATUS_STYLES.get(status, "")
            self.console.print(
                f"   [dim]{seconds:+7.3f} s[/]  {who:<18} [{style}]{status:<10}[/] "
                f"[dim]{escape(sentence)}[/]",
                no_wrap=True,
                overflow="ellipsis",
            )
        else:
            self._plain(f"   {seconds:+7.3f} s  {who:<18} {status:<10} {sentence}")

    def figures(self, rows: list[tuple[str, str]]) -> None:
        """Names and numbers, side by side."""
        if not self.is_terminal:
            for name, value in rows:
                self._plain(f"   {name}: {value}")
            return
        table = Table(show_header=False, box=None, padding=(0, 3, 0, 0))
        table.add_column(style="dim")
        table.add_column(style="bold")
        for name, value in rows:
            table.add_row(name, value)
        self.console.print(Padding(table, (0, 0, 0, INDENT)))

    def pictures(self, images: list[list[float]], below: list[str]) -> None:
        """Square grey images side by side, each with a line below; too much for a pipe."""
        if not self.is_terminal:
            return
        side = int(len(images[0]) ** 0.5)
        darkest = max(max(image) for image in images)
        for row in range(side):
            shown = (
                "".join(2 * SHADES[round(4 * dot / darkest)] for dot in image[row * side :][:side])
                for image in images
            )
            self.console.print(" " * INDENT + "  ".join(shown))
        self.console.print(
            " " * INDENT + "  ".join(f"[bold]{text.center(2 * side)}[/]" for text in below)
        )

    def source(self, code: str) -> None:
        """A piece of code or a line to paste, left exactly as it is."""
        for line in code.strip("\n").splitlines():
            self.console.print(f"   [cyan]│[/] {escape(line)}", soft_wrap=True)

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Bar]:
        """A progress bar; in a pipe a line now and then."""
        if not self.is_terminal:
            yield self._plain_bar(title, total)
            return
        columns = (
            TextColumn("  {task.description}"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            PerSecond(),
        )
        with Progress(*columns, console=self.console) as progress:
            task = progress.add_task(title, total=total)
            yield lambda: progress.advance(task)

    def _plain_bar(self, title: str, total: int) -> Bar:
        done = 0

        def advance() -> None:
            nonlocal done
            done += 1
            if done * PLAIN_STEPS // total != (done - 1) * PLAIN_STEPS // total:
                self._plain(f"   {title}: {done}/{total}")

        return advance

    def _plain(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)
