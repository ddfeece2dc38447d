"""`scale`, `suspend`, `resume`, `recreate` and `rm`: change a node, and watch it become so."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from cellnode.cli import nodes_text, words
from cellnode.cli.connection import connected
from cellnode.cli.exits import CommandFailed, wrong_usage
from cellnode.cli.parameters import HERE, PATIENT, NodeName, Server, Waiting, option
from cellnode.cli.progress import Progress, done
from cellnode.cli.screen import Screen

if TYPE_CHECKING:
    from cellnode.client import Client
    from cellnode.models import NodeView
    from cellnode.node import Node

YES = ("y", "yes")
Act = Callable[["Node", dict[str, Any]], "NodeView | None"]


def scale(
    node: NodeName,
    want: Annotated[int, option("How many instances are kept.", metavar="N")],
    /,
    *,
    min: Annotated[
        int | None,
        option("How many healthy ones make the node HEALTHY; default: as before.", metavar="N"),
    ] = None,
    waiting: Waiting = PATIENT,
    server: Server = HERE,
) -> None:
    """Change how many instances a node has, and wait for them."""
    change = _Change(node, f"scaling {node} to {want}", waiting, server)
    view = change.run(lambda asked, more: asked.scale(want, min=min, **more))
    if view is not None:
        cost = nodes_text.cost_sentence(view.cost.units_per_hour_each, view.cost.units_per_hour)
        change.screen.say(f"  costs {cost}")


def suspend(node: NodeName, /, *, waiting: Waiting = PATIENT, server: Server = HERE) -> None:
    """Stop a node: it costs nothing until it is resumed.

    All its instances end; its spec stays.
    """
    change = _Change(node, f"suspending {node}", waiting, server)
    change.run(lambda asked, more: asked.suspend(**more))


def resume(node: NodeName, /, *, waiting: Waiting = PATIENT, server: Server = HERE) -> None:
    """Start a suspended node again, from its checkpoint."""
    change = _Change(node, f"resuming {node}", waiting, server)
    change.run(lambda asked, more: asked.resume(**more))


def recreate(node: NodeName, /, *, waiting: Waiting = PATIENT, server: Server = HERE) -> None:
    """Bring the pinned state back: replace every instance.

    New instances, made from the checkpoint, are healthy before old ones leave, so callers
    notice nothing but the state.
    """
    change = _Change(node, f"recreating {node}", waiting, server)
    change.run(lambda asked, more: asked.recreate(**more))


def rm(
    node: NodeName,
    /,
    *,
    yes: Annotated[bool, option("Do not ask.", "--yes", "-y")] = False,
    waiting: Waiting = PATIENT,
    server: Server = HERE,
) -> None:
    """Remove a node; its checkpoint and pins stay."""
    change = _Change(node, f"removing {node}", waiting, server)
    change.run(lambda asked, more: asked.delete(**more), before=None if yes else _confirm)


def _confirm(client: Client, node: str) -> None:
    """Ask a person; a program has to say --yes."""
    if not sys.stdin.isatty():
        raise wrong_usage(f"removing {node} is not confirmed", f"say so: cellnode rm {node} --yes")
    view = client.node(node).view()
    count = words.counted(len(view.instances), "instance")
    sys.stderr.write(f"Remove {node} with its {count}? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in YES:
        raise CommandFailed(f"{node} was not removed")


class _Change:
    """One command to one node, watched until it is so."""

    def __init__(self, node: str, doing: str, waiting: Waiting, server: Server) -> None:
        self.screen = Screen(as_json=server.json)
        self._node, self._doing, self._waiting, self._server = node, doing, waiting, server

    def run(self, act: Act, before: Callable[[Client, str], None] | None = None) -> NodeView | None:
        """The node as it is then; None where it was removed."""
        with connected(self._server, node=self._node) as client:
            if before is not None:
                before(client, self._node)
            node = client.node(self._node)
            with Progress(self.screen, self._doing) as progress:
                view = act(node, self._options(progress))
            self._tell(view, client.project, progress.seconds)
        return view

    def _options(self, progress: Progress) -> dict[str, Any]:
        return {
            "wait": not self._waiting.no_wait,
            "timeout_seconds": self._waiting.timeout,
            "on_progress": progress,
        }

    def _tell(self, view: NodeView | None, project: str, seconds: float) -> None:
        if self._waiting.no_wait:
            self.screen.say(f"{self._doing}; see how it goes: cellnode events {self._node} -f")
        else:
            self.screen.say(done(self._node, view, seconds))
        if self.screen.as_json:
            gone = {"kind": "NodeGone", "project": project, "node": self._node}
            self.screen.json(gone if view is None else view.to_json())
