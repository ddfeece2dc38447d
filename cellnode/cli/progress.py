"""What becomes of a node while a command waits: live on a terminal, line by line in a pipe."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from datetime import datetime
from types import TracebackType

from rich.console import Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from cellnode.cli import words
from cellnode.cli.nodes_text import FINE, healthy_of, status_of
from cellnode.cli.screen import NAME_COLUMNS, STATUS_COLUMNS, Screen, status_text
from cellnode.models import InstanceView, NodeStatusView, NodeView
from cellnode.telling import passed

FRAMES_PER_SECOND = 12
INSTANCES_SHOWN_MAX = 12  # More would not fit on a terminal.


class Progress:
    """Shows each NodeView that it is called with, until its `with` block ends."""

    def __init__(self, screen: Screen, doing: str) -> None:
        self._screen = screen
        self._doing = doing
        self.view: NodeView | None = None  # As it was last seen.
        self._sent: tuple[int, int] = (0, 0)
        self._begun = time.monotonic()
        self._seen_until: dict[str, datetime] = {}
        self.begun_at = words.now()
        self._spinner = Spinner("dots", style="yellow")
        self._live: Live | None = None
        self._is_over = False

    def __enter__(self) -> Progress:
        if self._screen.is_terminal and not self._screen.as_json:
            self._live = Live(
                console=self._screen.console,
                get_renderable=self.frame,
                refresh_per_second=FRAMES_PER_SECOND,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_over = True
        if self._live is not None:
            self._live.transient = kind is not None and self.view is None  # Nothing to keep.
            self._live.stop()
        if kind is KeyboardInterrupt:
            sys.stderr.write("cellnode: interrupted; what was asked for goes on\n")

    def __call__(self, view: NodeView) -> None:
        """The node has changed."""
        self.view = view
        if self._live is None and not self._screen.as_json:
            for line in self.news(view):
                self._screen.line(line)

    def printed(self, line: str) -> None:
        """A cell that builds the state has printed this; where JSON is wanted it stands aside."""
        text = line.rstrip("\n")
        if self._screen.as_json:
            sys.stderr.write(f"{text}\n")
        else:
            self._screen.line(Text(text, "quiet"))

    def uploaded(self, sent_bytes: int, all_bytes: int) -> None:
        """So much of a checkpoint has reached the server."""
        self._sent = (sent_bytes, all_bytes)
        is_whole = sent_bytes >= all_bytes > 0
        if is_whole and self._live is None and not self._screen.as_json:
            size = words.size(all_bytes)
            self._screen.say(f"{self.seconds:7.2f} s  {size} of the checkpoint uploaded")

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun

    def frame(self) -> RenderableType:
        """What stands on the terminal now."""
        line = Table.grid(padding=(0, 1))
        view = self.view
        status = Text("") if view is None else status_text(status_of(view))
        healthy = "" if view is None else f"{healthy_of(view, ' of ')} healthy"
        if view is None and self._sent[1]:
            healthy = "uploading {} of {}".format(*map(words.size, self._sent))
        mark: RenderableType = self._spinner
        if self._is_over:
            mark = Text("\u2022", "quiet")
        line.add_row(
            mark,
            Text(self._doing, "heading"),
            status,
            healthy,
            Text(f"{self.seconds:.1f} s", "quiet"),
        )
        return line if view is None else Group(line, _instances(view))

    def news(self, view: NodeView) -> Iterator[Text]:
        """A line for each change of a status that was not told yet, in the order of time."""
        changes: list[tuple[datetime, str, str, str]] = []
        parts: list[tuple[str, NodeStatusView | InstanceView]] = [
            (each.instance, each) for each in view.instances
        ]
        if view.status is not None:
            parts.append((view.node, view.status))
        for name, part in parts:
            for step in part.transitions:
                if step.at > self._seen_until.get(name, self.begun_at):
                    last = step is part.transitions[-1]
                    why = part.sentence if last else passed(str(step.reason))
                    changes.append((step.at, name, str(step.status), why))
        for at, name, status, why in sorted(changes, key=lambda change: change[0]):
            self._seen_until[name] = at
            seconds = f"{(at - self.begun_at).total_seconds():7.2f} s"
            yield Text.assemble(
                (seconds, "quiet"), "  ", (name.ljust(NAME_COLUMNS), "name"), " ",
                status_text(status, STATUS_COLUMNS), " ", why,
            )  # fmt: skip


def done(node: str, view: NodeView | None, seconds: float) -> Text:
    """What has come of the command, in a line."""
    line = Text.assemble((node, "heading"), " is ")
    if view is None:
        line.append("gone", "gone")
    else:
        line.append_text(status_text(status_of(view)))
        if status_of(view) in FINE:
            line.append(f", {healthy_of(view, ' of ')} instances healthy")
    return line.append(f", after {seconds:.1f} s", "quiet")


def _instances(view: NodeView) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column()
    for instance in view.instances[:INSTANCES_SHOWN_MAX]:
        status = str(instance.status)
        why = "" if status in FINE else instance.sentence
        grid.add_row(
            Text(f"  {instance.instance}", "name"), status_text(status), Text(why, "quiet")
        )
    if (hidden := len(view.instances) - INSTANCES_SHOWN_MAX) > 0:
        grid.add_row(Text(f"  and {hidden} more", "quiet"), "", "")
    return grid
