"""Which installed distributions a checkpoint really uses."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, distributions, packages_distributions, version


def packages_of(modules: Iterable[str]) -> dict[str, str]:
    """Normalised name and version of every distribution that these modules come from."""
    tops = {module.partition(".")[0] for module in modules}
    if not tops:
        return {}
    known = distributions_by_module()
    names = {name for top in tops for name in known.get(top, ())}
    return {normalised(name): version(name) for name in sorted(names)}


def normalised(name: str) -> str:
    """The one form of PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def distributions_by_module() -> Mapping[str, list[str]]:
    """Top names of modules, and the installed distributions that bring them."""
    if sys.version_info >= (3, 11):
        return packages_distributions()
    found: dict[str, list[str]] = {}  # Python 3.10 knows only what a distribution declares itself.
    for one in distributions():
        for top in _tops_of(one):
            found.setdefault(top, []).append(one.metadata["Name"])
    return found


def _tops_of(one: Distribution) -> set[str]:
    if declared := (one.read_text("top_level.txt") or "").split():
        return set(declared)
    sources = [file for file in one.files or () if file.suffix == ".py"]
    return {file.parts[0] if len(file.parts) > 1 else file.stem for file in sources}
