"""Scripts and notebooks with a marked cell: build the state, pin it, deploy the cell."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cellnode.client import Client
    from cellnode.node import Node
    from cellnode.uploading import OnUpload
    from cellnode.watching import OnProgress

RUN_SECONDS_MAX = 3600.0


def deploy_file(
    path: str | os.PathLike[str],
    node: str | None = None,
    *,
    python: str | None = None,
    run_seconds_max: float = RUN_SECONDS_MAX,
    on_output: Callable[[str], None] | None = None,
    wait: bool = True,
    timeout_seconds: float = 120.0,
    on_progress: OnProgress | None = None,
    on_upload: OnUpload | None = None,
    client: Client | None = None,
) -> list[Node]:
    """Deploy the marked cells of a script (.py, percent format) or a notebook (.ipynb).

    The cells before a marked one are run by a fresh process of `python` (without it this one),
    in order and within run_seconds_max in all; what they print goes to on_output. What the
    marked cell needs of their variables is pinned, then the cell is deployed.

    Args:
        node: only the cell of this node; without it all marked cells.

    Raises:
        FileFailed: a cell raised, or the file holds no marked cell; `cell` and `line` tell where.
        MarkError, PinError, and what `cellnode.deploy` raises.
    """
    raise NotImplementedError
