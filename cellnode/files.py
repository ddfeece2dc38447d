"""Scripts and notebooks with a marked cell: build the state, pin it, deploy the cell."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellnode.deploying import client_of_here, source_of
from cellnode.errors import FileFailed
from cellnode.marks import USAGE, Mark
from cellnode.node import WAIT_SECONDS
from cellnode.origin import find_project
from cellnode.sources import Cell, plain_python, read_cells
from cellnode.store import default_directory

if TYPE_CHECKING:
    from cellnode.client import Client
    from cellnode.node import Node
    from cellnode.pinning import Pin
    from cellnode.uploading import OnUpload
    from cellnode.watching import OnProgress

RUN_SECONDS_MAX = 3600.0

OnOutput = Callable[[str], None]


@dataclass(frozen=True)
class Built:
    """A marked cell and the pin that was made for it."""

    mark: Mark
    cell: str
    pin: Pin

    @property
    def spec(self) -> dict[str, Any]:
        """The NodeSpec that the mark asks for; what it does not say is left to the server."""
        options = self.mark.options()
        instances = {"min": options.pop("min"), "want": options.pop("want")}
        marked = {name: list(options.pop(name)) for name in ("inputs", "outputs")}
        made = {"checkpoint": self.pin.digest, "cell": self.cell, "instances": instances}
        return {**made, **marked, **options}


def build(
    path: str | os.PathLike[str],
    node: str | None = None,
    *,
    project: str | None = None,
    python: str | None = None,
    run_seconds_max: float = RUN_SECONDS_MAX,
    on_output: OnOutput | None = None,
) -> list[Built]:
    """Run the cells before the marked ones in a fresh process and pin what these need.

    Args:
        path: a script (.py, percent format) or a notebook (.ipynb).
        node: only the cell of this node; without it all marked cells.
        project: whose pins they are.
        python: the interpreter that runs them, with cellnode installed; without it this one.
        run_seconds_max: for all cells together.
        on_output: called with each line that they print.

    Raises:
        FileFailed: a cell raised, or there is no marked cell; `cell` and `line` tell where.
        MarkError: a mark is wrong. PinError: what a cell needs cannot be pinned.
    """
    from cellnode.running import Run

    cells = read_cells(path)
    wanted = marked_cells(cells, Path(path), node)
    steps = steps_to(cells, wanted, find_project(project))
    pins = Run(Path(path), python, on_output).pins(steps, run_seconds_max)
    return [
        Built(mark, source_of(cell.source), pin)
        for (mark, cell), pin in zip(wanted, pins, strict=True)
    ]


def deploy_file(
    path: str | os.PathLike[str],
    node: str | None = None,
    *,
    python: str | None = None,
    run_seconds_max: float = RUN_SECONDS_MAX,
    on_output: OnOutput | None = None,
    wait: bool = True,
    timeout_seconds: float = WAIT_SECONDS,
    on_progress: OnProgress | None = None,
    on_upload: OnUpload | None = None,
    client: Client | None = None,
) -> list[Node]:
    """Deploy the marked cells of a script or a notebook, each on the state built before it.

    The arguments and errors are those of `cellnode.files.build` and `cellnode.deploy`.
    """
    found = client or client_of_here()
    built = build(
        path,
        node,
        project=found.project,
        python=python,
        run_seconds_max=run_seconds_max,
        on_output=on_output,
    )
    nodes = []
    for each in built:
        found.upload(each.pin, on_upload=on_upload)
        made = found.apply(
            each.mark.node,
            each.spec,
            wait=wait,
            timeout_seconds=timeout_seconds,
            on_progress=on_progress,
        )
        nodes.append(made)
    return nodes


def marked_cells(cells: list[Cell], path: Path, node: str | None) -> list[tuple[Mark, Cell]]:
    """The marked cells, or that of one node; FileFailed if there is none or a name comes twice."""
    found = [(cell.mark, cell) for cell in cells if cell.mark is not None]
    names = [mark.node for mark, _ in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise FileFailed(f"{path} marks more than one cell as {twice[0]}; one cell is one node")
    wanted = [(mark, cell) for mark, cell in found if node in (None, mark.node)]
    if not wanted:
        known = f"it marks {', '.join(names)}" if names else "it has no marked cell"
        how = f"# %% [node] {USAGE}" if path.suffix == ".py" else f"tag `node`, # node: {USAGE}"
        which = f"no cell of {node}; {known}" if node else known
        raise FileFailed(f"{path}: {which}. Mark one: {how}")
    return wanted


def steps_to(
    cells: list[Cell], wanted: list[tuple[Mark, Cell]], project: str
) -> list[dict[str, Any]]:
    """What the fresh process does, in order: runs plain cells, pins for marked ones."""
    steps: list[dict[str, Any]] = []
    last = wanted[-1][1].number
    for cell in cells:
        if cell.number > last:
            break
        if cell.mark is None:
            steps.append(run_step(cell))
        elif any(cell is each for _, each in wanted):
            steps.append({"number": cell.number, "pin": pin_step(cell.mark, cell, project)})
    return steps


def run_step(cell: Cell) -> dict[str, Any]:
    """How one cell is run."""
    return {
        "number": cell.number,
        "source": plain_python(cell),
        "first_line": cell.first_line,
        "place": cell.place,
    }


def pin_step(mark: Mark, cell: Cell, project: str) -> dict[str, Any]:
    """What is pinned for a marked cell."""
    return {
        "name": mark.pin_name,
        "project": project,
        "cell": source_of(cell.source),
        "inputs": list(mark.inputs),
        "outputs": list(mark.outputs),
        "store": str(default_directory()),
    }
