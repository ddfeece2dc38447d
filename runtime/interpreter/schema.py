"""The part of JSON Schema 2020-12 that signatures use, compiled once into plain functions."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

# Takes a value and the path to it; returns the value to use, or raises Mistyped.
Check = Callable[[Any, str], Any]
DEPTH_MAX = 64
SHOWN_CHARACTERS_MAX = 60


class Mistyped(Exception):
    """A value that does not fit its schema, and where it stands."""

    def __init__(self, path: str, expected: str, found: str) -> None:
        super().__init__(f"{path} must be {expected}, not {found}")
        self.path = path


KINDS: dict[str, tuple[type, ...]] = {
    "null": (type(None),),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "array": (list,),
    "object": (dict,),
}
NAMES = {
    type(None): "null", bool: "a boolean", int: "an integer", float: "a number",
    str: "a string", list: "an array", dict: "an object",
}  # fmt: skip
ARTICLES = {"null": "null", "integer": "an integer", "array": "an array", "object": "an object"}


def compiled(schema: Any, depth: int = 0) -> Check:
    """One function that checks what this schema says; what it does not know it lets pass."""
    if not isinstance(schema, dict) or depth > DEPTH_MAX:
        return _anything
    parts = [build(schema, depth) for keyword, build in _BUILDERS.items() if keyword in schema]
    if "x-tensor" in schema:
        parts.append(_as_array(schema["x-tensor"]))
    if len(parts) == 1:
        return parts[0]
    return _all_of(parts) if parts else _anything


def _anything(value: Any, path: str) -> Any:
    return value


def _all_of(parts: list[Check]) -> Check:
    def check(value: Any, path: str) -> Any:
        for part in parts:
            value = part(value, path)
        return value

    return check


def _typed(schema: dict[str, Any], depth: int) -> Check:
    wanted = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    kinds = frozenset(kind for name in wanted for kind in KINDS.get(name, ()))
    takes_whole = int in kinds and float not in kinds
    expected = " or ".join(ARTICLES.get(name, f"a {name}") for name in wanted)

    def check(value: Any, path: str) -> Any:
        if type(value) in kinds:
            return value
        if takes_whole and type(value) is float and value.is_integer():
            return int(value)  # 3.0 is an integer in JSON Schema, and range(3.0) is none in Python.
        raise Mistyped(path, expected, described(value))

    return check


def _items(schema: dict[str, Any], depth: int) -> Check:
    item = schema["items"]
    check_item = compiled(item, depth + 1)
    first = len(schema.get("prefixItems", ()))
    quick = _quick_kinds(item)

    def check(value: Any, path: str) -> Any:
        if type(value) is not list:
            return value
        if quick and not first and set(map(type, value)) <= quick:
            return value  # An array of plain scalars is looked at in one sweep.
        for index in range(first, len(value)):
            value[index] = check_item(value[index], f"{path}[{index}]")
        return value

    return check


def _quick_kinds(item: Any) -> frozenset[type]:
    is_plain = isinstance(item, dict) and item.keys() == {"type"} and isinstance(item["type"], str)
    return frozenset(KINDS.get(item["type"], ())) if is_plain else frozenset()


def _prefix_items(schema: dict[str, Any], depth: int) -> Check:
    checks = [compiled(item, depth + 1) for item in schema["prefixItems"]]

    def check(value: Any, path: str) -> Any:
        if type(value) is list:
            for index, check_item in enumerate(checks[: len(value)]):
                value[index] = check_item(value[index], f"{path}[{index}]")
        return value

    return check


def _properties(schema: dict[str, Any], depth: int) -> Check:
    checks = {name: compiled(each, depth + 1) for name, each in schema["properties"].items()}

    def check(value: Any, path: str) -> Any:
        if type(value) is dict:
            for name in value.keys() & checks.keys():
                value[name] = checks[name](value[name], f"{path}.{name}")
        return value

    return check


def _additional(schema: dict[str, Any], depth: int) -> Check:
    known = schema.get("properties", {}).keys()
    allowed = schema["additionalProperties"]
    check_other = compiled(allowed, depth + 1)

    def check(value: Any, path: str) -> Any:
        for name in value.keys() - known if type(value) is dict else ():
            if allowed is False:
                raise Mistyped(f"{path}.{name}", "absent", "there")
            value[name] = check_other(value[name], f"{path}.{name}")
        return value

    return check


def _required(schema: dict[str, Any], depth: int) -> Check:
    names = list(schema["required"])

    def check(value: Any, path: str) -> Any:
        for name in names if type(value) is dict else ():
            if name not in value:
                raise Mistyped(f"{path}.{name}", "there", "missing")
        return value

    return check


def _enum(schema: dict[str, Any], depth: int) -> Check:
    allowed = schema["enum"]
    expected = f"one of {shown(allowed)}"

    def check(value: Any, path: str) -> Any:
        # In Python True equals 1; in JSON it does not.
        if not any(type(value) is type(each) and value == each for each in allowed):
            raise Mistyped(path, expected, shown(value))
        return value

    return check


def _any_of(schema: dict[str, Any], depth: int) -> Check:
    checks = [compiled(each, depth + 1) for each in schema["anyOf"]]

    def check(value: Any, path: str) -> Any:
        refusals = []
        for each in checks:
            try:
                return each(value, path)
            except Mistyped as refusal:
                refusals.append(str(refusal))
        raise Mistyped(path, f"one of several types ({'; '.join(refusals)})", described(value))

    return check


def _bound(keyword: str, kinds: tuple[type, ...], words: str) -> Callable[..., Check]:
    is_lowest = keyword.startswith("min")
    is_size = list in kinds or str in kinds

    def build(schema: dict[str, Any], depth: int) -> Check:
        limit = schema[keyword]

        def check(value: Any, path: str) -> Any:
            if type(value) in kinds:
                measured = len(value) if is_size else value
                if (measured < limit) if is_lowest else (measured > limit):
                    raise Mistyped(path, words.format(limit), shown(measured))
            return value

        return check

    return build


def _as_array(tensor: Any) -> Check:
    """A variable that was an array when it was pinned is an array again, not nested lists."""

    def check(value: Any, path: str) -> Any:
        numpy = sys.modules.get("numpy")
        if numpy is None or not isinstance(tensor, dict):
            return value
        try:
            return numpy.asarray(value, dtype=tensor["dtype"])
        except (ValueError, TypeError, OverflowError) as error:
            raise Mistyped(path, f"an array of {tensor['dtype']}", str(error)) from None

    return check


def described(value: Any) -> str:
    return NAMES.get(type(value), type(value).__name__)


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[:SHOWN_CHARACTERS_MAX]}..."


_BUILDERS: dict[str, Callable[[dict[str, Any], int], Check]] = {
    "type": _typed,
    "enum": _enum,
    "minimum": _bound("minimum", (int, float), "at least {}"),
    "maximum": _bound("maximum", (int, float), "at most {}"),
    "minLength": _bound("minLength", (str,), "at least {} characters long"),
    "maxLength": _bound("maxLength", (str,), "at most {} characters long"),
    "minItems": _bound("minItems", (list,), "at least {} items long"),
    "maxItems": _bound("maxItems", (list,), "at most {} items long"),
    "required": _required,
    "properties": _properties,
    "additionalProperties": _additional,
    "prefixItems": _prefix_items,
    "items": _items,
    "anyOf": _any_of,
}
