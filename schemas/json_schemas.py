"""JSON Schemas of marked variables: what of one a node holds to, and what is documented of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from typing import Any

Schema = dict[str, Any]
DEPTH_MAX = 64  # Of schemas in schemas, as in the interpreter.
KINDS = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _is_size(value: Any) -> bool:
    return _is_number(value) and value >= 0


def _is_schema(value: Any) -> bool:
    return isinstance(value, dict | bool)


def _are_schemas(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_schema, value))


def _are_named_schemas(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_schema, value.values()))


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _are_needs(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_are_names, value.values()))


def _are_kinds(value: Any) -> bool:
    names = value if isinstance(value, list) else [value]
    return bool(names) and all(isinstance(name, str) and name in KINDS for name in names)


def _is_pattern(value: Any) -> bool:
    try:
        re.compile(value)
    except (re.error, TypeError, OverflowError, RecursionError):
        return False
    return isinstance(value, str)


def _are_patterns(value: Any) -> bool:
    return _are_named_schemas(value) and all(map(_is_pattern, value))


def _is_tensor(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("dtype"), str)


_Shape = tuple[Callable[[Any], bool], str]
_NUMBER: _Shape = (_is_number, "a number")
_SIZE: _Shape = (_is_size, "a number of at least 0")
_SCHEMA: _Shape = (_is_schema, "a schema: an object, true or false")
_SCHEMAS: _Shape = (_are_schemas, "a list of schemas")
_NAMED: _Shape = (_are_named_schemas, "an object of schemas")

# What the interpreter checks, and what it takes to be well-formed. Other keywords say nothing to
# it, so they are in no document either. `runtime/interpreter/schema.py` has the checks.
KEYWORDS: Mapping[str, _Shape] = {
    "type": (_are_kinds, f"one or more of {', '.join(sorted(KINDS))}"),
    "enum": (lambda value: isinstance(value, list), "a list"),
    "const": (lambda _: True, "any value"),
    "minimum": _NUMBER,
    "maximum": _NUMBER,
    "exclusiveMinimum": _NUMBER,
    "exclusiveMaximum": _NUMBER,
    "multipleOf": (lambda value: _is_number(value) and value > 0, "a number above 0"),
    "minLength": _SIZE,
    "maxLength": _SIZE,
    "pattern": (_is_pattern, "a regular expression"),
    "minItems": _SIZE,
    "maxItems": _SIZE,
    "uniqueItems": (lambda value: isinstance(value, bool), "true or false"),
    "required": (_are_names, "a list of names"),
    "minProperties": _SIZE,
    "maxProperties": _SIZE,
    "dependentRequired": (_are_needs, "an object of lists of names"),
    "$ref": (lambda value: isinstance(value, str), "a place in the schema, like #/$defs/name"),
    "properties": _NAMED,
    "patternProperties": (_are_patterns, "an object of schemas by regular expressions"),
    "additionalProperties": _SCHEMA,
    "propertyNames": _SCHEMA,
    "prefixItems": _SCHEMAS,
    "items": _SCHEMA,
    "allOf": _SCHEMAS,
    "anyOf": _SCHEMAS,
    "oneOf": _SCHEMAS,
    "not": _SCHEMA,
    "x-tensor": (_is_tensor, "an object with a dtype"),
}
DEFINITIONS = ("$defs", "definitions")
# They say something to people and to generators, and nothing to the interpreter.
ANNOTATIONS = frozenset(
    {"title", "description", "default", "examples", "format", "deprecated", "contentEncoding"}
)


def fault_of(schema: Any) -> str | None:
    """What is wrong with a schema, so that no instance could use it; None if nothing is."""
    return next(_faults(schema, _Walk(schema)), None)


class _Walk:
    """Through a schema, into what it refers to once."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.depth = 0
        self.references: set[str] = set()

    def deeper(self) -> _Walk:
        other = copy(self)  # The references seen stay shared.
        other.depth += 1
        return other


def _faults(schema: Any, walk: _Walk) -> Iterator[str]:
    if isinstance(schema, bool):
        return
    fault = _fault_here(schema, walk)
    if fault is not None:
        yield fault
        return
    for inner in _inner(schema, walk):
        yield from _faults(inner, walk.deeper())


def _fault_here(schema: Any, walk: _Walk) -> str | None:
    if not isinstance(schema, dict):
        return "a schema must be an object, true or false"
    if walk.depth > DEPTH_MAX:
        return f"schemas may lie {DEPTH_MAX} deep in one another"
    for keyword, (is_well_formed, expected) in KEYWORDS.items():
        if keyword in schema and not is_well_formed(schema[keyword]):
            return f"{keyword} must be {expected}"
    reference = schema.get("$ref", "#")
    if target_of(walk.root, reference) is None:
        return f"$ref must be a place in the schema, like #/$defs/name, not {reference!r}"
    return None


def _inner(schema: Schema, walk: _Walk) -> Iterator[Any]:
    """The schemas in a well-formed schema, and the one that it refers to."""
    reference = schema.get("$ref")
    if reference is not None and reference not in walk.references:
        walk.references.add(reference)
        yield target_of(walk.root, reference)
    for keyword in KEYWORDS.keys() & schema.keys():
        shape, value = KEYWORDS[keyword], schema[keyword]
        if shape is _SCHEMA:
            yield value
        elif shape is _SCHEMAS:
            yield from value
        elif shape is _NAMED or keyword == "patternProperties":
            yield from value.values()


def target_of(root: Any, reference: str) -> Any:
    """What `#/...` points at; None if it leads nowhere."""
    if not (reference + "/").startswith("#/"):
        return None
    found = root
    for part in reference.split("/")[1:]:
        name = part.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list) and name.isdigit() and int(name) < len(found):
            found = found[int(name)]
        elif isinstance(found, dict) and name in found:
            found = found[name]
        else:
            return None
    return found if _is_schema(found) else None


def documented(schema: Any, pointer: str) -> Schema | bool:
    """The schema as it is held to, at its place in a document: references lead there.

    A schema with a fault says nothing: no instance gets ready with it.
    """
    if schema is None or fault_of(schema) is not None:
        return {}
    found: Schema | bool = _Telling(schema, pointer).told(schema)
    return found


class _Telling:
    """A schema without a fault, put into words that hold at another place."""

    def __init__(self, root: Any, pointer: str) -> None:
        self._root = root
        self._pointer = pointer

    def told(self, schema: Any) -> Any:
        if isinstance(schema, bool):
            return schema
        found = {}
        for keyword, value in schema.items():
            if keyword in KEYWORDS:
                found[keyword] = self._value(keyword, value)
            elif keyword in DEFINITIONS and isinstance(value, dict):
                found[keyword] = self._definitions(value)
            elif keyword in ANNOTATIONS:
                found[keyword] = value
        return _bounded(found) if "x-tensor" in found else found

    def _value(self, keyword: str, value: Any) -> Any:
        shape = KEYWORDS[keyword]
        if keyword == "$ref":
            return f"{self._pointer}{value[1:]}"
        if shape is _SCHEMA:
            return self.told(value)
        if shape is _SCHEMAS:
            return [self.told(each) for each in value]
        if shape is _NAMED or keyword == "patternProperties":
            return {name: self.told(each) for name, each in value.items()}
        return value

    def _definitions(self, value: Schema) -> Schema:
        return {
            name: self.told(each)
            for name, each in value.items()
            if next(_faults(each, _Walk(self._root)), None) is None
        }


# What of the numbers an array of this kind can hold; beyond it the interpreter refuses.
_FLOAT16_MAX, _FLOAT32_MAX = 65504.0, 3.4028234663852886e38


def _range_of(dtype: Any) -> tuple[float, float] | None:
    found = re.fullmatch(r"(u?)int(8|16|32|64)", dtype) if isinstance(dtype, str) else None
    if found:
        bits = int(found.group(2))
        return (0, 2**bits - 1) if found.group(1) else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    most = {"float16": _FLOAT16_MAX, "float32": _FLOAT32_MAX}.get(str(dtype))
    return None if most is None else (-most, most)


def _bounded(array: Schema) -> Schema:
    """The schema of an array, its numbers within the range of its kind."""
    bounds = _range_of(array["x-tensor"].get("dtype"))
    return array if bounds is None else _with_bounds(array, bounds)


def _with_bounds(schema: Schema, bounds: tuple[float, float]) -> Schema:
    inner = schema.get("items")
    if isinstance(inner, dict):
        return {**schema, "items": _with_bounds(inner, bounds)}
    if schema.get("type") not in ("integer", "number"):
        return schema
    return {"minimum": bounds[0], "maximum": bounds[1], **schema}
