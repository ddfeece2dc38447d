"""Turn a notebook cell into a load-balanced network service.

`pin` the state, `deploy` a cell on it, `call` the node:

    import cellnode

    pinned = cellnode.pin("digits", ["model"])
    node = cellnode.deploy("digits", pinned, cell=SOURCE, inputs=["image"], outputs=["label"])
    node.call(image=pixels)["label"]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cellnode.client import Client, connect
    from cellnode.deploying import deploy
    from cellnode.errors import (
        AnswerNotUnderstood,
        CellFailed,
        CellnodeError,
        Conflict,
        FileFailed,
        Invalid,
        MarkError,
        NodeUnhealthy,
        NotBuilt,
        NotFound,
        PinError,
        ProblemError,
        ServerFailed,
        ServerUnreachable,
        StoreError,
        TimedOut,
        Unavailable,
        ValueNotSent,
        WaitTimedOut,
    )
    from cellnode.events import Event
    from cellnode.files import deploy_file
    from cellnode.node import Node
    from cellnode.pin_gathering import Skipped
    from cellnode.pinning import NotPinned, NotUploaded, Pin, pin
    from cellnode.store import Store

# What is imported when it is first asked for, so that `import cellnode` costs next to nothing.
_FOUND_IN = {
    "cellnode.client": ("Client", "connect"),
    "cellnode.deploying": ("deploy",),
    "cellnode.errors": (
        "AnswerNotUnderstood",
        "CellFailed",
        "CellnodeError",
        "Conflict",
        "FileFailed",
        "Invalid",
        "MarkError",
        "NodeUnhealthy",
        "NotBuilt",
        "NotFound",
        "PinError",
        "ProblemError",
        "ServerFailed",
        "ServerUnreachable",
        "StoreError",
        "TimedOut",
        "Unavailable",
        "ValueNotSent",
        "WaitTimedOut",
    ),
    "cellnode.events": ("Event",),
    "cellnode.files": ("deploy_file",),
    "cellnode.node": ("Node",),
    "cellnode.pin_gathering": ("Skipped",),
    "cellnode.pinning": ("NotPinned", "NotUploaded", "Pin", "pin"),
    "cellnode.store": ("Store",),
}
_MODULES = {name: module for module, names in _FOUND_IN.items() for name in names}

__all__ = [
    "AnswerNotUnderstood",
    "CellFailed",
    "CellnodeError",
    "Client",
    "Conflict",
    "Event",
    "FileFailed",
    "Invalid",
    "MarkError",
    "Node",
    "NodeUnhealthy",
    "NotBuilt",
    "NotFound",
    "NotPinned",
    "NotUploaded",
    "Pin",
    "PinError",
    "ProblemError",
    "ServerFailed",
    "ServerUnreachable",
    "Skipped",
    "Store",
    "StoreError",
    "TimedOut",
    "Unavailable",
    "ValueNotSent",
    "WaitTimedOut",
    "connect",
    "deploy",
    "deploy_file",
    "pin",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: Any) -> None:
    """`%load_ext cellnode`: brings `%%node` and `%node`."""
    from cellnode.notebook.magics import load

    load(shell)
