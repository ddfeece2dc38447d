"""`deploy`: make a node, or change it, from a spec file, a script or a notebook."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.text import Text

from cellnode.cli import how_to_call
from cellnode.cli.connection import connected
from cellnode.cli.nodes_text import cost_sentence
from cellnode.cli.overrides import Overrides
from cellnode.cli.parameters import HERE, PATIENT, Server, Waiting, option
from cellnode.cli.progress import Progress, done
from cellnode.cli.screen import Screen
from cellnode.cli.wishes import MARKED, Wish, built, wishes_of
from cellnode.cli.words import counted

if TYPE_CHECKING:
    from cellnode.client import Client
    from cellnode.models import NodeView
    from cellnode.node import Node

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
    wishes = wishes_of(file, overrides, server)
    with connected(dataclasses.replace(server, project=wishes[0].project)) as client:
        for wish in wishes:
            tell_cost(screen, client, wish.spec)
        if file.suffix in MARKED:
            wishes = built(screen, client, file, overrides)
        views = [_deploy(screen, client, wish, waiting) for wish in wishes]
    if screen.as_json:
        told = [view.to_json() for view in views]
        screen.json(told[0] if len(told) == 1 else {"nodes": told})


def _deploy(screen: Screen, client: Client, wish: Wish, waiting: Waiting) -> NodeView:
    with Progress(screen, f"deploying {wish.node}") as progress:
        if wish.pin is not None:
            client.upload(wish.pin, on_upload=progress.uploaded)
        node = client.apply(
            wish.node,
            wish.spec,
            wait=not waiting.no_wait,
            timeout_seconds=waiting.timeout,
            on_progress=progress,
            on_upload=progress.uploaded,
        )
    view = progress.view or node.view()
    tell(screen, node, view, None if waiting.no_wait else progress.seconds)
    return view


def tell_cost(screen: Screen, client: Client, spec: Mapping[str, Any]) -> None:
    """What it will cost, before it does; the server judges a type that it does not offer."""
    name = spec.get("instance_type") or DEFAULT_TYPE
    instances = spec.get("instances")
    want = instances.get("want", 1) if isinstance(instances, Mapping) else 1
    offered = {each.name: each for each in client.instance_types()}
    if name in offered and isinstance(want, int):
        each = offered[name].units_per_hour
        costs = cost_sentence(each, each * want)
        screen.say(f"{counted(want, 'instance')} of type {name}: {costs}")


def tell(screen: Screen, node: Node, view: NodeView, seconds: float | None) -> None:
    """What has come of it, and how to call it."""
    if screen.as_json:
        return
    if seconds is None:
        screen.say(f"{view.node} is accepted; see how it goes: cellnode events {view.node} -f")
    else:
        screen.say(done(view.node, view, seconds))
    inputs = how_to_call.example_input(node, [each.name for each in view.spec.inputs])
    screen.say("")
    for line in how_to_call.lines(node.url, view.node, view.project, inputs):
        screen.say("  ", Text(line, "name"))
