"""What a file asks for: nodes with their specs, from a spec file or from marked cells."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellnode.cli.exits import wrong_usage
from cellnode.cli.overrides import Overrides
from cellnode.cli.parameters import Server
from cellnode.cli.progress import Progress
from cellnode.cli.screen import Screen
from cellnode.cli.spec_files import read_spec

if TYPE_CHECKING:
    from cellnode.client import Client
    from cellnode.marks import Mark
    from cellnode.pinning import Pin

SPECS, MARKED = (".json", ".toml"), (".py", ".ipynb")


@dataclasses.dataclass(frozen=True)
class Wish:
    """What node is wanted, and whose."""

    node: str
    project: str | None
    spec: dict[str, Any]
    pin: Pin | None = None  # Made for it here; the server may lack it.


def wishes_of(file: Path, overrides: Overrides, server: Server) -> list[Wish]:
    """What the file says, with the options over it; nothing of it is run."""
    if file.suffix in SPECS:
        return [_of_spec(file, overrides, server)]
    if file.suffix in MARKED:
        return _of_marks(file, overrides, server)
    sentence = f"{file} is neither a spec nor a script nor a notebook"
    raise wrong_usage(sentence, f"give one of {', '.join((*SPECS, *MARKED))}")


def _of_spec(file: Path, overrides: Overrides, server: Server) -> Wish:
    found = read_spec(file)
    node = overrides.name or found.node
    if node is None:
        raise wrong_usage(f"{file} does not name the node", 'add "node", or give --name NAME')
    return Wish(node, server.project or found.project, overrides.over(found.spec))


def _of_marks(file: Path, overrides: Overrides, server: Server) -> list[Wish]:
    from cellnode.files import marked_cells
    from cellnode.sources import read_cells

    if overrides.checkpoint is not None:
        raise wrong_usage("--checkpoint is for a spec", "the cells of a file make its checkpoint")
    marks = [mark for mark, _ in marked_cells(read_cells(file), file, overrides.node)]
    if overrides.name is not None and len(marks) > 1:
        names = ", ".join(mark.node for mark in marks)
        raise wrong_usage(f"{file} marks {names}: --name names one", "choose with --node NODE")
    return [_of_mark(mark, server.project, overrides) for mark in marks]


def _of_mark(mark: Mark, project: str | None, overrides: Overrides) -> Wish:
    instances = {"min": mark.min, "want": mark.want}
    spec = {"instance_type": mark.instance_type, "instances": instances}
    return Wish(overrides.name or mark.node, project, overrides.over(spec))


def built(screen: Screen, client: Client, file: Path, overrides: Overrides) -> list[Wish]:
    """Run the file's cells in a process of their own, pin what the marked ones need."""
    from cellnode.files import build

    with Progress(screen, f"running the cells of {file.name}") as progress:
        made = build(file, overrides.node, project=client.project, on_output=progress.printed)
    return [
        Wish(
            overrides.name or each.mark.node,
            client.project,
            overrides.over(each.spec),
            each.pin,
        )
        for each in made
    ]
