"""Write cellnode/models.py from the api's OpenAPI document (`make models`); a test finds drift."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from services.api.written import written

Schema = Mapping[str, Any]
TARGET = Path(__file__).resolve().parent.parent / "cellnode" / "models.py"
REFERENCE = "#/components/schemas/"
HEAD = '''"""What the HTTP api answers, as frozen dataclasses.

Written by `make models` from the api's OpenAPI document; edit `schemas/views.py`, not this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, Literal

from cellnode.documents import Model, Read, list_of, maybe, time_of

'''
PLAIN = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
LINE_CHARACTERS_MAX = 100


class Typed(NamedTuple):
    """A field's type, and how its JSON is read where that is not JSON's own type."""

    annotation: str
    read: str = ""


def components() -> dict[str, Schema]:
    """The schemas of all that the api answers, by name, with what these are made of."""
    document = written()
    everything: dict[str, Schema] = document["components"]["schemas"]
    todo = [name for name in answered(document) if name in everything]
    found: dict[str, Schema] = {}
    while todo:
        name = todo.pop()
        if name not in found:
            found[name] = everything[name]
            todo += references(everything[name])
    return dict(sorted(found.items()))


def answered(document: Schema) -> set[str]:
    """The names of what the operations answer when all is well."""
    operations = [one for methods in document["paths"].values() for one in methods.values()]
    return {
        name
        for operation in operations
        for status, answer in operation["responses"].items()
        if status.startswith("2")
        for kind, content in answer.get("content", {}).items()
        if kind.endswith("json")
        for name in references(content)
    }


def source(schemas: Mapping[str, Schema]) -> str:
    """The text of cellnode/models.py."""
    enums = {name: schema for name, schema in schemas.items() if "enum" in schema}
    aliases = "".join(
        f"# {schema.get('description', name)}\n{name} = {literal(schema['enum'])}\n"
        for name, schema in sorted(enums.items())
    )
    classes = {name: model(name, schemas) for name in ordered(schemas) if name not in enums}
    return formatted(HEAD + aliases + "".join(used(classes)))


def used(classes: Mapping[str, str]) -> Iterator[str]:
    """Without those that only stand in a choice between objects, which stays JSON."""
    roots = answered(written())
    for name, text in classes.items():
        if name in roots or any(f"{name}.from_json" in each for each in classes.values()):
            yield text


def literal(values: list[str]) -> str:
    return f"Literal[{', '.join(repr(value) for value in values)}]"


def ordered(schemas: Mapping[str, Schema]) -> list[str]:
    """Names such that each comes after all that it is made of."""
    done: dict[str, None] = {}

    def visit(name: str) -> None:
        for used in sorted(set(references(schemas[name]))):
            if used not in done:
                visit(used)
        done[name] = None

    for name in sorted(schemas):
        if name not in done:
            visit(name)
    return list(done)


def references(schema: Any) -> Iterator[str]:
    """The names of the schemas that this one refers to, anywhere in it."""
    if isinstance(schema, Mapping):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"].removeprefix(REFERENCE)
        for child in schema.values():
            yield from references(child)
    elif isinstance(schema, list):
        for child in schema:
            yield from references(child)


def model(name: str, schemas: Mapping[str, Schema]) -> str:
    schema = schemas[name]
    fields = {key: typed(each, schemas) for key, each in schema["properties"].items()}
    reads = ", ".join(f"{key!r}: {each.read}" for key, each in fields.items() if each.read)
    lines = [
        line
        for key, each in fields.items()
        for line in declared(
            key, each, schema["properties"][key], key in schema.get("required", ())
        )
    ]
    head = f'@dataclass(frozen=True, kw_only=True)\nclass {name}(Model):\n    """'
    text = textwrap.fill(schema["description"], LINE_CHARACTERS_MAX - 8).replace("\n", "\n    ")
    table = f"\n    _reads: ClassVar[Mapping[str, Read]] = {{{reads}}}\n" if reads else ""
    body = "".join(f"    {line}\n" for line in lines)
    return f'\n\n{head}{text}"""\n{table}\n{body}'


def declared(name: str, kind: Typed, schema: Schema, is_required: bool) -> Iterator[str]:
    """The line of a field, below what the api's document says of it."""
    if said := schema.get("description"):
        yield from (f"# {line}" for line in textwrap.wrap(said, LINE_CHARACTERS_MAX - 6))
    yield f"{name}: {kind.annotation}" + ("" if is_required else f" = {default(kind, schema)}")


def default(kind: Typed, schema: Schema) -> str:
    if schema.get("default", ...) is None:
        return "None"
    if kind.annotation.startswith("Mapping"):
        return "field(default_factory=dict)"
    if kind.annotation.startswith("tuple"):
        return "()"
    if isinstance(schema.get("default"), dict):
        return f"field(default_factory=lambda: {kind.annotation}.from_json({schema['default']!r}))"
    return repr(schema.get("default"))


def typed(schema: Schema, schemas: Mapping[str, Schema]) -> Typed:
    """The type of a field. A choice between objects stays JSON."""
    if "$ref" in schema:
        name = str(schema["$ref"]).removeprefix(REFERENCE)
        return Typed(name) if "enum" in schemas[name] else Typed(name, f"{name}.from_json")
    if "enum" in schema:
        return Typed(literal(schema["enum"]))
    if "anyOf" in schema:
        return choice(schema["anyOf"], schemas)
    if schema.get("format") == "date-time":
        return Typed("datetime", "time_of")
    if schema.get("type") == "array":
        item = typed(schema["items"], schemas)
        return Typed(
            f"tuple[{item.annotation}, ...]", f"list_of({item.read})" if item.read else "tuple"
        )
    if schema.get("type") == "object":
        return Typed(f"Mapping[str, {typed_values(schema)}]")
    return Typed(PLAIN[schema["type"]])


def typed_values(schema: Schema) -> str:
    patterns = list(schema.get("patternProperties", {}).values())
    inner = patterns[0] if patterns else schema.get("additionalProperties")
    kind = inner.get("type") if isinstance(inner, Mapping) else None
    return PLAIN.get(kind or "", "Any")


def choice(options: list[Schema], schemas: Mapping[str, Schema]) -> Typed:
    others = [option for option in options if option.get("type") != "null"]
    null = " | None" if len(others) < len(options) else ""
    if len(others) == 1:
        one = typed(others[0], schemas)
        return Typed(one.annotation + null, f"maybe({one.read})" if one.read and null else one.read)
    kinds = ["Mapping[str, Any]" if "$ref" in each else PLAIN[each["type"]] for each in others]
    return Typed(" | ".join(dict.fromkeys(kinds)) + null)


def formatted(text: str) -> str:
    """In the house's format, whatever the lengths of names."""
    command = [sys.executable, "-m", "ruff", "format", "--stdin-filename", str(TARGET), "-"]
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


if __name__ == "__main__":
    TARGET.write_text(source(components()))
