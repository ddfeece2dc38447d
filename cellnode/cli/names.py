"""Names that a shell completes, asked of the server within a short deadline."""

from __future__ import annotations

from typing import Any

COMPLETE_SECONDS_MAX = 1.0


def known_names(kind: str, url: Any, project: Any) -> list[str]:
    """Names of that kind, or none where the server does not answer soon."""
    import cellnode
    from cellnode.errors import CellnodeError

    try:
        with cellnode.connect(url, project=project, timeout_seconds=COMPLETE_SECONDS_MAX) as client:
            if kind == "pins":
                return [pin.name for pin in client.pins()]
            if kind == "checkpoints":
                return [each.digest for each in client.checkpoints()]
            return [view.node for view in client.nodes()]
    except CellnodeError:
        return []
