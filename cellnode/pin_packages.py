"""Which installed distributions a checkpoint really uses."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import packages_distributions, version


def packages_of(modules: Iterable[str]) -> dict[str, str]:
    """Normalised name and version of every distribution that these modules come from."""
    tops = {module.partition(".")[0] for module in modules}
    if not tops:
        return {}
    known = packages_distributions()
    names = {name for top in tops for name in known.get(top, ())}
    return {normalised(name): version(name) for name in sorted(names)}


def normalised(name: str) -> str:
    """The one form of PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()
