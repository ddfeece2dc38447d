"""`deploy`: make a node, or change it, from a spec file, a script or a notebook."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.text import Text

from cellnode.cli import how_to_call
from cellnode.cli.connection import connected
from cellnode.cli.exits import wrong_usage
from cellnode.cli.nodes_text import cost_sentence
from cellnode.cli.overrides import Overrides
from cellnode.cli.parameters import HERE, PATIENT, Server, Waiting, option
from cellnode.cli.progress import Progress, done
from cellnode.cli.screen import Screen
from cellnode.cli.spec_files import read_spec
from cellnode.cli.words import counted

if TYPE_CHECKING:
    from cellnode.client import Client
    from cellnode.models import NodeView
    from cellnode.node import Node

SPECS, MARKED = (".json", ".toml"), (".py", ".ipynb")
DEFAULT_TYPE = "small"
AS_IT_IS = Overrides()


def deploy(
    file: Annotated[Path, option("A spec (.json, .toml), a script (.py) or a notebook (.ipynb).")],
    /,
    *,
    overrides: Overrides = AS_IT_IS,
    waiting: Waiting = PATIENT,
    server: Server = HERE,
) -> None:
    """Make or change a node, and wait until it is healthy.

    FILE says what the node is; options stand over what it says. In a script, the cell is marked
    by its heading, and the cells before it build the state that the node holds:

      # %%
      model = train()
      # %% [node] digits --inputs image --outputs label --want 2
      label = int(model.predict([image])[0])

    In a notebook, the cell has the tag `node` and begins with such a line:

      # node: digits --inputs image --outputs label --want 2

    A spec has the fields of a node and its name; `cell_file` names the file of the cell:

      {"node": "digits", "checkpoint": "digits", "cell_file": "cell.py",
       "inputs": ["image"], "outputs": ["label"], "instances": {"want": 2}}
    """
    screen = Screen(as_json=server.json)
    wish = wish_of(file, overrides, server)
    server = dataclasses.replace(server, project=wish.project)
    with connected(server) as client:
        tell_cost(screen, client, wish.spec)
        with Progress(screen, f"deploying {wish.node}") as progress:
            node = wish.apply(client, waiting, progress)
        view = progress.view or node.view()
        tell(screen, node, view, None if waiting.no_wait else progress.seconds)


@dataclasses.dataclass(frozen=True)
class Wish:
    """What node is wanted, and whose."""

    node: str
    project: str | None
    spec: dict[str, Any]

    def apply(self, client: Client, waiting: Waiting, progress: Progress) -> Node:
        return client.apply(
            self.node,
            self.spec,
            wait=not waiting.no_wait,
            timeout_seconds=waiting.timeout,
            on_progress=progress,
            on_upload=progress.uploaded,
        )


def wish_of(file: Path, overrides: Overrides, server: Server) -> Wish:
    """What the file says, with the options over it."""
    if file.suffix in SPECS:
        return _of_spec(file, overrides, server)
    kinds = ", ".join((*SPECS, *MARKED))
    sentence = f"{file} is neither a spec nor a script nor a notebook"
    raise wrong_usage(sentence, f"give one of {kinds}")


def _of_spec(file: Path, overrides: Overrides, server: Server) -> Wish:
    found = read_spec(file)
    node = overrides.name or found.node
    if node is None:
        raise wrong_usage(f"{file} does not name the node", 'add "node", or give --name NAME')
    return Wish(node, server.project or found.project, overrides.over(found.spec))


def tell_cost(screen: Screen, client: Client, spec: dict[str, Any]) -> None:
    """What it will cost, before it does; the server judges a type that it does not offer."""
    name = spec.get("instance_type") or DEFAULT_TYPE
    want = (spec.get("instances") or {}).get("want", 1)
    offered = {each.name: each for each in client.instance_types()}
    if name in offered and isinstance(want, int):
        each = offered[name].units_per_hour
        costs = cost_sentence(each, each * want)
        screen.say(f"{counted(want, 'instance')} of type {name}: {costs}")


def tell(screen: Screen, node: Node, view: NodeView, seconds: float | None) -> None:
    """What has come of it, and how to call it."""
    if screen.as_json:
        return screen.json(view.to_json())
    if seconds is None:
        screen.say(f"{view.node} is accepted; see how it goes: cellnode events {view.node} -f")
    else:
        screen.say(done(view.node, view, seconds))
    inputs = how_to_call.example_input(node, [each.name for each in view.spec.inputs])
    screen.say("")
    for line in how_to_call.lines(node.url, view.node, view.project, inputs):
        screen.say("  ", Text(line, "name"))
    return None
