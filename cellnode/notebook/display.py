"""What a notebook shows of a Node that stands at the end of a cell."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cellnode.cli import how_to_call
from cellnode.errors import CellnodeError, ValueNotSent
from cellnode.notebook import panel
from cellnode.values import BytesFound, encoded

if TYPE_CHECKING:
    from cellnode.node import Node


def bundle_of(node: Node) -> dict[str, str]:
    """The node as it is now; why it cannot be told, where it cannot."""
    try:
        view = node.view()
        calls = calls_of(node, [each.name for each in view.spec.inputs])
    except CellnodeError as error:
        return {
            "text/html": panel.panel(None, node.name, wrong=str(error)),
            "text/plain": f"{node!r}: {error}",
        }
    notes = [panel.cost_of(view)]
    picture = panel.panel(view, node.name, notes=notes, calls=calls)
    return {"text/html": picture, "text/plain": panel.text(view, calls)}


def calls_of(
    node: Node, inputs: Sequence[str], namespace: Mapping[str, Any] | None = None
) -> list[str]:
    """A curl line and Python lines to copy, with the notebook's own values where it has them."""
    values = _present(inputs, namespace or {}) or how_to_call.example_input(node, list(inputs))
    curl = how_to_call.curl(node.url, node.project, values)
    return [curl, "\n".join(how_to_call.python(node.url, node.name, node.project, values))]


def _present(inputs: Sequence[str], namespace: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the notebook holds under the inputs' names, as JSON; None unless all can be sent."""
    if not all(name in namespace for name in inputs):
        return None
    try:
        body = encoded({name: namespace[name] for name in inputs})
    except (BytesFound, ValueNotSent):
        return None
    return dict(json.loads(body)["input"])
