"""`logs` and `events`: what instances print, and what becomes of nodes, as it happens."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

from rich.text import Text

from cellnode.cli import words
from cellnode.cli.connection import connected
from cellnode.cli.parameters import HERE, NodeName, Server, names_of, option
from cellnode.cli.screen import NAME_COLUMNS, STATUS_COLUMNS, Screen, status_text

if TYPE_CHECKING:
    from cellnode.events import Event

LOG_LINES = 200
NAME_STYLES = ("cyan", "green", "yellow", "magenta", "blue", "bright_cyan")
SILENT = "Nothing was written; what the cell prints from now on is followed with -f."
FOLLOW = option("Go on with what comes, until Ctrl-C.", "--follow", "-f")


def logs(
    node: NodeName,
    /,
    *,
    follow: Annotated[bool, FOLLOW] = False,
    tail: Annotated[
        int,
        option(
            f"The last lines of each instance; default: {LOG_LINES}.",
            "--tail",
            "-n",
            metavar="LINES",
        ),
    ] = LOG_LINES,
    instance: Annotated[str | None, option("Of this instance alone.", metavar="INSTANCE")] = None,
    server: Server = HERE,
) -> None:
    """Print what the cell wrote, each line after its instance."""
    screen, is_silent = Screen(as_json=server.json), True
    colours: dict[str, str] = {}
    with connected(server, node=node) as client:
        for line in client.node(node).logs(tail=tail, follow=follow, instance=instance):
            is_silent = False
            if screen.as_json:
                screen.json_line(line.to_json())
                continue
            style = colours.setdefault(line.instance, NAME_STYLES[len(colours) % len(NAME_STYLES)])
            screen.line(Text.assemble((line.instance, style), (" | ", "quiet"), line.line))
    if is_silent:
        Screen(as_json=server.json, stream=sys.stderr).say(SILENT)


def events(
    node: Annotated[str | None, option("Only of this node.", completer=names_of("nodes"))] = None,
    /,
    *,
    follow: Annotated[bool, FOLLOW] = False,
    since: Annotated[
        str | None,
        option(
            "From then on: `-10m`, `-2h`, or a time like 2026-01-31T12:00:00Z.",
            metavar="WHEN",
            allow_leading_hyphen=True,
        ),
    ] = None,
    kind: Annotated[
        list[str] | None,
        option("Only of this kind, such as NodeStatusChanged; may be repeated.", metavar="KIND"),
    ] = None,
    server: Server = HERE,
) -> None:
    """Print every change of a status, of one node or of all.

    It is the history that is kept, or with -f what comes from now on. With both --since and -f
    it is what came since then, and what comes. Events that read the same as the last one of a name
    are printed once; --json prints all.
    """
    screen, told = Screen(as_json=server.json), dict[str, str]()
    with connected(server, node=node or "") as client:
        for event in client.events(node=node, kind=kind, since=since, follow=follow):
            if screen.as_json:
                screen.json_line({"kind": event.kind, **event.data})
            elif is_news(event, told):
                screen.line(event_text(event))


def is_news(event: Event, told: dict[str, str]) -> bool:
    """Whether its line would read otherwise than the last one of the same name."""
    name = event.instance or event.node or ""
    if event.status is None:
        told.pop(name, None)
        return True
    before, told[name] = told.get(name), f"{event.status} {event.sentence}"
    return before != told[name]


def event_text(event: Event) -> Text:
    """The time, whom it is about, the status and why."""
    status = event.status or OUTCOMES.get(event.kind, event.kind)
    said = event.sentence or str(event.data.get("command_kind") or "")
    return Text.assemble(
        (("" if event.at is None else words.clock(event.at)).ljust(words.CLOCK_COLUMNS), "quiet"),
        "  ", ((event.instance or event.node or "").ljust(NAME_COLUMNS), "name"), " ",
        status_text(status, STATUS_COLUMNS), " ", said,
    )  # fmt: skip


OUTCOMES = {
    "NodeGone": "gone",
    "InstanceGone": "gone",
    "CommandAccepted": "accepted",
    "CommandRejected": "rejected",
}
