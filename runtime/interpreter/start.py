"""The two things an interpreter is started for: to serve an instance, or to check a checkpoint."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from . import serving
from .loading import Refused, load


def main(arguments: list[str]) -> int:
    """`serve <control fd> <agent pid>` or `check <store> <digest>`."""
    if len(arguments) == 3 and arguments[0] == "serve":
        return serving.serve(int(arguments[1]), int(arguments[2]))
    if len(arguments) == 3 and arguments[0] == "check":
        return check(arguments[1], arguments[2])
    sys.stderr.write("usage: interpreter serve <control fd> <agent pid> | check <store> <digest>\n")
    return 2


def check(store: str, digest: str) -> int:
    """Load a checkpoint as an instance does and say on the first descriptor how it went."""
    told = os.dup(1)
    # What the loading itself prints must not mix with the answer.
    os.dup2(2, 1)
    result: dict[str, Any] = {"ok": True}
    try:
        load(store, digest)
    except Refused as refusal:
        result = {"ok": False, **refusal.as_dict()}
    os.write(told, json.dumps(result).encode() + b"\n")
    return 0 if result["ok"] else 1
