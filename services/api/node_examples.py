"""An example for a JSON Schema: its own if it has one, else the plainest value that fits."""

from __future__ import annotations

from math import ceil, floor
from typing import Any

ITEMS_MAX = 1024  # Of an example; of a longer array the caller has to know one.
DEPTH_MAX = 8
_PLAIN = {"boolean": True, "null": None}
_TYPES = {
    "null": type(None), "boolean": bool, "integer": int, "number": float, "string": str,
    "array": list, "object": dict,
}  # fmt: skip
_WORDS = ("title", "description", "format", "deprecated")
_TEXTS = {
    "date-time": "2026-05-04T12:00:00Z",
    "date": "2026-05-04",
    "email": "ada@example.org",
    "uuid": "3fa9c1d2-5717-4562-b3fc-2c963f66afa6",
    "uri": "https://example.org/",
}
# With these, and what they hold, the plainest value is known to fit.
_HEEDED = frozenset(
    {
        "type", "enum", "const", "minimum", "maximum", "minLength", "maxLength", "minItems",
        "maxItems", "items", "prefixItems", "properties", "required", "additionalProperties",
        "anyOf", "title", "description", "default", "examples", "format", "deprecated", "x-tensor",
    }
)  # fmt: skip


def has_example(schema: Any, depth: int = 0) -> bool:
    """Whether `example_of` is known to fit."""
    if isinstance(schema, bool):
        return schema
    if depth > DEPTH_MAX:
        return False
    if _told(schema):
        return True
    if "const" in schema or "enum" in schema:
        return schema.keys() <= {"const", "enum", "type", *_WORDS} and bool(_allowed(schema))
    if schema.keys() - _HEEDED or not _is_possible(schema):
        return False
    if "anyOf" in schema:
        return schema.keys() <= {"anyOf", "title", "description"} and any(
            has_example(one, depth + 1) for one in schema["anyOf"]
        )
    if not set(schema.get("required", ())) <= schema.get("properties", {}).keys():
        return False
    return all(has_example(one, depth + 1) for one in _parts(schema))


def _told(schema: dict[str, Any]) -> list[Any]:
    """What the author of the schema gives as examples."""
    examples = schema.get("examples")
    default = [schema["default"]] if "default" in schema else []
    return default + (examples if isinstance(examples, list) else [])


def _allowed(schema: dict[str, Any]) -> list[Any]:
    """The values that the schema lists, of its own kind."""
    values = [schema["const"]] if "const" in schema else schema["enum"]
    kinds = schema.get("type", list(_TYPES))
    wanted = {_TYPES[kind] for kind in ([kinds] if isinstance(kinds, str) else kinds)}
    fitting = [value for value in values if type(value) in wanted]
    return fitting if "const" not in schema or "enum" not in schema else []


def _is_possible(schema: dict[str, Any]) -> bool:
    """Bounds that leave something between them; and not too many items."""
    for low, high in (("minimum", "maximum"), ("minLength", "maxLength"), ("minItems", "maxItems")):
        if low in schema and high in schema and ceil(schema[low]) > floor(schema[high]):
            return False
    return max(int(schema.get(name, 0)) for name in ("minLength", "minItems")) <= ITEMS_MAX


def _parts(schema: dict[str, Any]) -> list[Any]:
    kind = _kind(schema)
    if kind == "array":
        count = _count(schema)
        first = schema.get("prefixItems", [])[:count]
        return [*first, *([schema.get("items", {})] if count > len(first) else [])]
    if kind == "object":
        return [schema.get("properties", {})[name] for name in _wanted(schema)]
    return []


def example_of(schema: Any, depth: int = 0) -> Any:
    """A value; whether it fits is for `has_example` to say."""
    if not isinstance(schema, dict) or depth > DEPTH_MAX:
        return 1
    known = _told(schema) or (_allowed(schema) if "const" in schema or "enum" in schema else [])
    if known:
        return known[0]
    if schema.get("anyOf"):
        fitting = [one for one in schema["anyOf"] if has_example(one, depth + 1)]
        return example_of((fitting or schema["anyOf"])[0], depth + 1)
    return _plainest(schema, depth)


def _plainest(schema: dict[str, Any], depth: int) -> Any:
    kind = _kind(schema)
    if kind == "array":
        first = [example_of(one, depth + 1) for one in schema.get("prefixItems", [])]
        count = _count(schema)
        more = count - len(first)
        rest = [example_of(schema.get("items", {}), depth + 1)] * more if more > 0 else []
        return [*first[:count], *rest]
    if kind == "object":
        properties = schema.get("properties", {})
        return {name: example_of(properties[name], depth + 1) for name in _wanted(schema)}
    if kind == "string":
        return _text(schema)
    return _number(kind, schema) if kind in ("integer", "number") else _PLAIN[kind]


def _kind(schema: dict[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if kind is None and ("properties" in schema or "required" in schema):
        return "object"
    if kind is None and ("items" in schema or "prefixItems" in schema or "minItems" in schema):
        return "array"
    if kind is None and ("minLength" in schema or "maxLength" in schema):
        return "string"
    return str(kind or "integer")


def _wanted(schema: dict[str, Any]) -> list[str]:
    properties = schema.get("properties", {})
    required = schema.get("required", properties)
    return [name for name in properties if name in required]


def _count(schema: dict[str, Any]) -> int:
    """Of an example's items: one, or as many as must be."""
    least = ceil(schema.get("minItems", 0))
    most = floor(schema.get("maxItems", ITEMS_MAX))
    is_open = schema.get("items", True) is not False
    return int(min(max(least, len(schema.get("prefixItems", [])) or int(is_open)), most, ITEMS_MAX))


def _text(schema: dict[str, Any]) -> str:
    text = _TEXTS.get(str(schema.get("format")), "text")
    text = text.ljust(min(ceil(schema.get("minLength", 0)), ITEMS_MAX), ".")
    return text[: floor(schema.get("maxLength", len(text)))]


def _number(kind: str, schema: dict[str, Any]) -> Any:
    """0, or what lies nearest to it within the bounds."""
    low, high = schema.get("minimum", 0), schema.get("maximum", 0)
    value = low if low > 0 else min(high, 0) if "maximum" in schema else 0
    if kind == "integer":
        return ceil(value) if value > 0 else floor(value)
    return value
