"""From a marked cell to a node: check, say the cost, pin, upload, deploy, show how to call it."""

from __future__ import annotations

import keyword
from contextlib import suppress
from typing import Any

from cellnode.cli import words
from cellnode.client import Client
from cellnode.deploying import source_of
from cellnode.errors import NodeUnhealthy, WaitTimedOut
from cellnode.files import Built
from cellnode.marks import Mark
from cellnode.node import Node
from cellnode.notebook.checks import check, untyped
from cellnode.notebook.shown import Shown
from cellnode.pin_for import pin_for
from cellnode.watching import healthy

DEFAULT_TYPE = "small"
OTHERS_SECONDS_MAX = 5.0


def deploy_cell(
    mark: Mark, cell: str, namespace: dict[str, Any], *, client: Client, shown: Shown
) -> Node:
    """The node, HEALTHY. Raises what pinning and deploying raise; `shown` has the story."""
    shown.step("checking")
    slips = check(mark, cell, namespace)
    shown.note(*_price(mark, client), *slips)
    shown.step("pinning")
    pinned = pin_for(mark, cell, namespace, client=client, upload=False)
    client.upload(pinned, on_upload=shown.uploaded)
    shown.step("deploying")
    built = Built(mark, source_of(cell), pinned)
    node = client.apply(mark.node, built.spec, wait=True, on_progress=shown.progress)
    _see_the_others(node, mark, shown)
    if nameless := untyped(mark, namespace):
        shown.note(
            f"This notebook has no value of {', '.join(nameless)}, so the API takes any JSON "
            "there. With an example value and another deploy it is typed."
        )
    shown.doing = "deployed"
    return node


def _see_the_others(node: Node, mark: Mark, shown: Shown) -> None:
    """The minimum serves already; the picture that stays should show all, if they come soon."""
    seen = shown.view or node.view()
    is_whole = healthy(seen.generation, mark.want)
    with suppress(WaitTimedOut, NodeUnhealthy):
        node.until(is_whole, OTHERS_SECONDS_MAX, shown.progress)


def leave(node: Node, namespace: dict[str, Any]) -> str:
    """Bind the node to a variable; its name. What the notebook holds under it is not lost."""
    name = node.name.replace("-", "_")
    taken = name in namespace and not isinstance(namespace[name], Node)
    if taken or keyword.iskeyword(name):
        name = f"{name}_node"
    namespace[name] = node
    return name


def _price(mark: Mark, client: Client) -> list[str]:
    """Said before it costs; the server judges a type that it does not offer."""
    name = mark.instance_type or DEFAULT_TYPE
    for offered in client.instance_types():
        if offered.name == name:
            each = offered.units_per_hour
            count = words.counted(mark.want, "instance")
            in_all = f"{each * mark.want:g} in all, also while the node is idle"
            return [f"{count} of type {name}: {words.units(each)} an hour each, {in_all}."]
    return []
