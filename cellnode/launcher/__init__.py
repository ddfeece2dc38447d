"""`cellnode up`: what starts, watches and stops the whole system on one machine."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cellnode.launcher.addresses import Addresses
    from cellnode.launcher.launcher import Launcher
    from cellnode.launcher.places import UpFailed
    from cellnode.launcher.up import run_up

__all__ = ["Addresses", "Launcher", "UpFailed", "run_up"]

# Imported at first use: the other commands must not wait for what only `up` needs.
_HOMES = {"Addresses": "addresses", "Launcher": "launcher", "UpFailed": "places", "run_up": "up"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
