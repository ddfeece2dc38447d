"""Pin what one cell needs of a namespace."""

from __future__ import annotations

from typing import Any

from cellnode.errors import PinError
from cellnode.marks import Mark
from cellnode.needs import needs_of
from cellnode.pin_gathering import is_ours
from cellnode.pin_pickling import Namespace
from cellnode.pinning import Pin, pin


def pin_for(mark: Mark, cell: str, namespace: Namespace, **options: Any) -> Pin:
    """Pin what the cell of a mark reads, and the marked variables that exist: they tell the types.

    Args:
        mark: the pin's name, inputs and outputs.
        cell: the source of the node's cell, without the mark.
        namespace: the notebook's or script's variables.
        options: more of `cellnode.pin`.
    """
    try:
        needs = needs_of(cell)
    except SyntaxError as error:
        raise PinError(f"line {error.lineno} of the cell is no Python: {error.msg}") from None
    # A request sets the inputs anyway; what is there is an example of them.
    surely = (needs.surely - set(mark.inputs)) & namespace.keys()
    also = (needs.perhaps | {*mark.inputs, *mark.outputs}) & namespace.keys() - surely
    # A node's variable may have the name of an output: it is no example of it.
    also = frozenset(name for name in also if not is_ours(namespace[name]))
    options = {"namespace": namespace, "examples": mark.inputs, **options}
    return pin(mark.pin_name, sorted(surely), also=sorted(also), **options)
