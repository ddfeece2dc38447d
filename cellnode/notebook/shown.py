"""One output that changes in place in a notebook; lines, one a change, elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from cellnode.cli import words
from cellnode.notebook import panel

if TYPE_CHECKING:
    from cellnode.models import NodeView

LOOK_SECONDS_MIN = 0.05  # Between two pictures of an upload: a front end needs no more.

Show = Callable[[dict[str, str]], None]


class Shown:
    """What stands below the cell. `show` replaces the output; None: print lines instead."""

    def __init__(self, name: str, show: Show | None, say: Callable[[str], Any] = print) -> None:
        self.view: NodeView | None = None
        self.doing = ""
        self._name = name
        self._show = show
        self._say = say
        self._begun = time.monotonic()
        self._drawn_at = 0.0
        self._told: dict[str, str] = {}
        self._notes: list[str] = []

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun

    def note(self, *sentences: str) -> None:
        """Sentences that stay."""
        self._notes += sentences
        if self._show is None:
            for sentence in sentences:
                self._say(sentence)
        self._draw()

    def step(self, doing: str) -> None:
        """What is being done now."""
        self.doing = doing
        if self._show is None:
            self._say(f"{self._name}: {doing}")
        self._draw()

    def uploaded(self, sent_bytes: int, all_bytes: int) -> None:
        if all_bytes == 0:
            return  # The server has all of it.
        self.doing = f"uploading {words.size(sent_bytes)} of {words.size(all_bytes)}"
        self._draw(is_seldom=sent_bytes < all_bytes)

    def progress(self, view: NodeView) -> None:
        """The node has changed."""
        self.view = view
        if self._show is None:
            for line in self._news(view):
                self._say(line)
        self._draw()

    def ended(self, calls: Sequence[str] = (), wrong: str = "") -> None:
        """The last picture: it stays in the notebook."""
        if self._show is None:
            for line in calls:
                self._say(line)
        self._draw(calls=calls, wrong=wrong)

    def _draw(self, *, is_seldom: bool = False, calls: Sequence[str] = (), wrong: str = "") -> None:
        now = time.monotonic()
        if self._show is None or (is_seldom and now - self._drawn_at < LOOK_SECONDS_MIN):
            return
        self._drawn_at = now
        doing = f"{self.doing} · {self.seconds:.1f} s"
        picture = panel.panel(
            self.view, self._name, doing=doing, calls=calls, notes=self._notes, wrong=wrong
        )
        told = panel.text(self.view, calls) if self.view else f"{self._name}: {doing}"
        self._show({"text/html": picture, "text/plain": f"{told}\n{wrong}" if wrong else told})

    def _news(self, view: NodeView) -> Iterable[str]:
        """A line for each status that is another one than before."""
        now = {each.instance: (str(each.status), each.sentence) for each in view.instances}
        if view.status is not None:
            now[view.node] = (str(view.status.status), view.status.sentence)
        for name, (status, sentence) in now.items():
            if self._told.get(name) != status:
                self._told[name] = status
                yield f"{self.seconds:6.2f} s  {name:<24} {status:<10} {sentence}"
