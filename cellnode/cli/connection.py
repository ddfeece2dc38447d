"""The server that a command asks, through the SDK; names that it does not know are corrected."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import cellnode
from cellnode.cli import exits
from cellnode.cli.exits import CommandFailed
from cellnode.cli.failures import nearest
from cellnode.cli.parameters import Server
from cellnode.errors import CellnodeError, NotFound

if TYPE_CHECKING:
    from cellnode.client import Client

UNKNOWN_NODE = "node-unknown"
CORRECT_SECONDS_MAX = 2.0  # For the list of names that a wrong one is compared with.


@contextlib.contextmanager
def connected(server: Server, *, node: str = "") -> Iterator[Client]:
    """A client of the server; `node` is the name that the command was given."""
    with cellnode.connect(server.url, project=server.project) as client:
        try:
            yield client
        except NotFound as error:
            if error.code != UNKNOWN_NODE or not node:
                raise
            raise _unknown(server, node) from None


def _unknown(server: Server, node: str) -> CommandFailed:
    known = names_of_nodes(server.url, server.project, CORRECT_SECONDS_MAX)
    guess = nearest(node, known)
    step = f"did you mean {guess}?" if guess else "see which there are: cellnode ls"
    return CommandFailed(f"there is no node called {node}", next_step=step, code=exits.NOT_FOUND)


def names_of_nodes(url: str | None, project: str | None, seconds: float) -> list[str]:
    """The nodes' names, or none where the server does not answer soon."""
    try:
        with cellnode.connect(url, project=project, timeout_seconds=seconds) as client:
            return [view.node for view in client.nodes()]
    except CellnodeError:
        return []
