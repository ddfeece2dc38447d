"""Pieces of a reference page: tables, a model's fields, a JSON Schema in a few words."""

from __future__ import annotations

import ast
import inspect
import json
import re
import textwrap
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any

from pydantic import BaseModel

DEFAULT_CHARACTERS_MAX = 40
# What a spec is made of has a page of its own.
SPEC_PARTS = frozenset(
    {"NodeSpec", "Instances", "Probe", "Requirements", "Image", "Variable", "Signature"}
)

Definitions = dict[str, dict[str, Any]]


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table; bars inside cells are escaped."""
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (head, *rows)]
    cells.insert(1, ["---"] * len(cells[0]))
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def sentence(thing: type) -> str:
    """The docstring, as one paragraph."""
    return " ".join((inspect.getdoc(thing) or "").split())


@lru_cache(maxsize=256)
def comments(thing: type) -> dict[str, str]:
    """What stands behind `#` on the line where a field or a value is declared."""
    source = textwrap.dedent(inspect.getsource(thing)).splitlines()
    body = ast.parse("\n".join(source)).body[0]
    found = {}
    for node in getattr(body, "body", []):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
            comment = re.search(r"  # (.+)$", source[(node.end_lineno or 1) - 1])
            found[ast.unparse(target)] = comment.group(1) if comment else ""
    return found


def comment(model: type, name: str) -> str:
    """The nearest declaration's comment, up the line of ancestors."""
    return next((comments(kind)[name] for kind in declaring(model, name)), "")


def declaring(model: type, name: str) -> Iterator[type]:
    for kind in model.__mro__:
        if name in inspect.get_annotations(kind):
            yield kind


def bounds(schema: dict[str, Any]) -> str:
    """`1 to 1000`, `at least 1`, `more than 0`."""
    low, high = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMinimum" in schema:
        upper = "" if high is None else f" to {high}"
        return f", more than {schema['exclusiveMinimum']}{upper}"
    if low is not None and high is not None:
        return f", {low} to {high}"
    return "" if low is None else f", at least {low}"


def linked(schema: dict[str, Any], definitions: Definitions) -> str:
    """A named part: its values where it is an enumeration, else its section on the page."""
    name = schema["$ref"].rsplit("/", 1)[-1]
    target = definitions[name]
    if "enum" not in target:
        return f"[{name}]({'spec.md' if name in SPEC_PARTS else ''}#{name.lower()})"
    if name == "Reason":
        return "a [reason](statuses.md#reasons)"
    return ", ".join(f"`{value}`" for value in target["enum"])


def words(schema: dict[str, Any], definitions: Definitions) -> str:
    """A JSON Schema in a few words."""
    if "$ref" in schema:
        return linked(schema, definitions)
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(words(one, definitions) for one in schema["anyOf"])
    return plain(schema, definitions)


def plain(schema: dict[str, Any], definitions: Definitions) -> str:
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {words(schema.get('items', {}), definitions)}"
    if kind == "object":
        inner = schema.get("additionalProperties")
        return f"map to {words(inner, definitions)}" if isinstance(inner, dict) else "object"
    if kind == "string":
        detail = schema.get("format") or (f"`{schema['pattern']}`" if "pattern" in schema else "")
        most = f", at most {schema['maxLength']} characters" if "maxLength" in schema else ""
        return f"text{f' ({detail})' if detail else ''}{most}"
    return f"{kind}{bounds(schema)}"


def default_of(schema: dict[str, Any], is_required: bool) -> str:
    if is_required or "const" in schema:
        return "required"
    return f"`{shown(schema['default'])}`" if "default" in schema else ""


def shown(value: Any) -> str:
    """A default as JSON would have it, short."""
    text = json.dumps(value)
    return text if len(text) <= DEFAULT_CHARACTERS_MAX else "…"


def fields(model: type[BaseModel], definitions: Definitions, schema: dict[str, Any]) -> str:
    aliases = {field.alias or name: name for name, field in model.model_fields.items()}
    rows = [
        (
            f"`{name}`",
            words(part, definitions),
            default_of(part, name in schema.get("required", [])),
            comment(model, aliases[name]),
        )
        for name, part in schema.get("properties", {}).items()
    ]
    return table(("field", "type", "default", "meaning"), rows)
