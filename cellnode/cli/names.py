"""Names that a shell completes, asked of the server within a short deadline."""

from __future__ import annotations

import cellnode
from cellnode.cli.nodes_text import status_of
from cellnode.cli.words import short, size
from cellnode.errors import CellnodeError

COMPLETE_SECONDS_MAX = 1.0


def known_names(kind: str, url: str | None, project: str | None) -> list[tuple[str, str]]:
    """Names with a word about each; none where the server does not answer soon."""
    try:
        with cellnode.connect(url, project=project, timeout_seconds=COMPLETE_SECONDS_MAX) as client:
            if kind == "pins":
                return [(pin.name, short(pin.digest)) for pin in client.pins()]
            if kind == "checkpoints":
                return [(each.digest, size(each.bytes)) for each in client.checkpoints()]
            return [(view.node, status_of(view)) for view in client.nodes()]
    except CellnodeError:
        return []
