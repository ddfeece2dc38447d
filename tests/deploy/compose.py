"""deploy/compose.yaml as its reader's tool reads it: with the defaults in place of variables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.sources import ROOT

DEPLOY = ROOT / "deploy"
FILE = DEPLOY / "compose.yaml"
SAMPLE = DEPLOY / ".env.sample"
VARIABLE = re.compile(r"(?<!\$)\$\{([A-Z_]+)(?::([-?])([^}]*))?\}")


def variables() -> dict[str, str | None]:
    """Every variable of the file and its default; None where it must be given."""
    found: dict[str, str | None] = {}
    for name, kind, rest in VARIABLE.findall(FILE.read_text()):
        default = rest if kind == "-" else None
        assert found.setdefault(name, default) == default, f"{name} has two defaults"
    return found


def sample() -> dict[str, str]:
    """What .env.sample says."""
    lines = (line for line in SAMPLE.read_text().splitlines() if line and not line.startswith("#"))
    return dict(line.split("=", 1) for line in lines)


def composed(given: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The file with these values, else the defaults."""

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        return (given or {}).get(name) or (rest if kind == "-" else f"<{name}>")

    read: dict[str, Any] = yaml.safe_load(VARIABLE.sub(value, FILE.read_text()))
    return read


def services() -> dict[str, dict[str, Any]]:
    return dict(composed()["services"])


def bind_mounts(service: Mapping[str, Any]) -> Iterator[tuple[Path, str]]:
    """Each file or folder of the checkout that a service sees, and how it may be used."""
    for mount in service.get("volumes", ()):
        source, _, way = mount.partition(":")
        if source.startswith("."):
            yield DEPLOY / source, way.rpartition(":")[2]
