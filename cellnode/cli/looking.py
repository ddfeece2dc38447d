"""`ls`, `show` and `why`: what there is, and why it is so."""

from __future__ import annotations

from typing import Annotated

from cellnode.cli import nodes_text
from cellnode.cli.connection import connected
from cellnode.cli.parameters import HERE, NodeName, Server, option
from cellnode.cli.screen import Screen

FIRST_STEPS = """There are no nodes here yet. Deploy the first one from a script or a notebook
whose cell is marked, or from a spec file:

  # %% [node] greeting --inputs name --outputs text
  text = f"Hello {name}"

  cellnode deploy greeting.py
  cellnode call greeting name=World"""


def ls(
    *,
    status: Annotated[
        str | None, option("Only nodes of this status, such as UNHEALTHY.", metavar="STATUS")
    ] = None,
    server: Server = HERE,
) -> None:
    """List the nodes with their statuses.

    HEALTHY counts the healthy instances of those wanted; UNITS/H is what all of them cost an
    hour, called or not; WHY says what is wrong where something is.
    """
    screen = Screen(as_json=server.json)
    with connected(server) as client:
        nodes = [node for node in client.nodes() if is_of(nodes_text.status_of(node), status)]
    if screen.as_json:
        return screen.json({"nodes": [node.to_json() for node in nodes]})
    if nodes:
        return screen.table(nodes_text.COLUMNS, map(nodes_text.row_of, nodes))
    return screen.say(FIRST_STEPS if status is None else f"No node is {status.upper()}.")


def is_of(status: str, wanted: str | None) -> bool:
    return wanted is None or status == wanted.upper()


def show(node: NodeName, /, *, server: Server = HERE) -> None:
    """Show a node: what is wanted, what is observed, its history."""
    screen = Screen(as_json=server.json)
    with connected(server, node=node) as client:
        asked = client.node(node)
        view = asked.view()
    if screen.as_json:
        return screen.json(view.to_json())
    return nodes_text.show(screen, view, asked.url)


def why(node: NodeName, /, *, server: Server = HERE) -> None:
    """Say why a node is as it is, with the evidence."""
    screen = Screen(as_json=server.json)
    with connected(server, node=node) as client:
        view = client.node(node).view()
    if screen.as_json:
        return screen.json(view.to_json())
    return nodes_text.explain(screen, view)
