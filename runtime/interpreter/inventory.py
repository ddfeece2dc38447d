"""Print as JSON what this Python has, so that a manifest can be compared before a start."""

from __future__ import annotations

import os
import sys

if __name__ == "__main__":
    # Run by path: the names of our files must not stand before those of the standard library.
    _here = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != _here]

import json
import platform
import re
from importlib.metadata import distributions
from typing import Any


def inventory() -> dict[str, Any]:
    """Python, platform and every installed distribution, by its normalised name."""
    return {
        "python": {
            "implementation": platform.python_implementation(),
            "version": platform.python_version(),
            "executable": sys.executable,
        },
        "platform": {"system": platform.system(), "machine": platform.machine()},
        "packages": packages(),
    }


def packages() -> dict[str, str]:
    found: dict[str, str] = {}
    for each in distributions():
        name = each.metadata["Name"]
        if name:
            # The first one on the path is the one that is imported.
            found.setdefault(normalised(name), each.version)
    return dict(sorted(found.items()))


def normalised(name: str) -> str:
    """A distribution's name in the one form of PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(inventory()) + "\n")
