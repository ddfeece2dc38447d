"""A node's spec in a file: JSON or TOML, with the node's name and its cell."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cellnode.cli.exits import wrong_usage

SPEC_BYTES_MAX = 4 * 1024 * 1024
TOML_PYTHON = (3, 11)


@dataclass(frozen=True)
class SpecFile:
    """What a file says: whose node it is, and its spec."""

    node: str | None
    project: str | None
    spec: dict[str, Any]


def read_spec(path: Path) -> SpecFile:
    """The file's spec with its cell in it; what is wrong with the fields, the server says."""
    document = _parsed(path, read_text(path, SPEC_BYTES_MAX))
    if not isinstance(document, dict):
        raise wrong_usage(f"{path} holds no object", "write the fields of a spec, and `node`")
    spec = dict(document)
    node, project = (_name(path, spec, field) for field in ("node", "project"))
    if "pin" in spec:
        spec.setdefault("checkpoint", spec.pop("pin"))
    if "cell_file" in spec:
        spec["cell"] = _cell(path, spec)
    return SpecFile(node, project, spec)


def _name(path: Path, spec: dict[str, Any], field: str) -> str | None:
    value = spec.pop(field, None)
    if value is not None and not isinstance(value, str):
        raise wrong_usage(f"{path}: {field} is not a name", f'write {field} as text: "digits"')
    return value


def _cell(path: Path, spec: dict[str, Any]) -> str:
    name = spec.pop("cell_file")
    if "cell" in spec:
        raise wrong_usage(f"{path} has both cell and cell_file", "keep one of them")
    if not isinstance(name, str):
        raise wrong_usage(f"{path}: cell_file is not a path", 'write it as text: "cell.py"')
    return read_text(path.parent / name, SPEC_BYTES_MAX)


def _parsed(path: Path, text: str) -> Any:
    try:
        return _parse_toml(path, text) if path.suffix == ".toml" else json.loads(text)
    except ValueError as error:
        kind = path.suffix.lstrip(".").upper()
        raise wrong_usage(f"{path} is not {kind}: {error}") from None


def _parse_toml(path: Path, text: str) -> Any:
    if sys.version_info < TOML_PYTHON:
        raise wrong_usage(f"{path}: TOML is read by Python 3.11 or newer", "write it as JSON")
    import tomllib

    return tomllib.loads(text)


def read_text(path: Path, bytes_max: int) -> str:
    try:
        if path.stat().st_size > bytes_max:
            raise wrong_usage(f"{path} is larger than {bytes_max} bytes")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise wrong_usage(f"{path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise wrong_usage(f"{path} is not UTF-8 text") from None
