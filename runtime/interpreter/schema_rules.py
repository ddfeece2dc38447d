"""Rules of JSON Schema that look at one value: its kind, its size, its place in a list."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

# Takes a value and the path to it; returns the value to use, or raises Mistyped.
Check = Callable[[Any, str], Any]
SHOWN_CHARACTERS_MAX = 60
NARROW = {"float16", "float32"}  # Numbers of JSON may lie beyond their range.


class Mistyped(Exception):
    """A value that does not fit its schema, and where it stands."""

    def __init__(self, path: str, expected: str, found: str) -> None:
        super().__init__(f"{path} must be {expected}, not {found}")
        self.path = path


class BadSchema(ValueError):
    """A schema that says nothing that can be checked."""

    def __init__(self, what: str, expected: str, found: Any) -> None:
        super().__init__(f"{what} in a schema must be {expected}, not {shown(found)}")


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


def rules_of(schema: dict[str, Any]) -> list[Check]:
    """A check for each of these keywords that the schema has."""
    return [build(schema) for keyword, build in RULES.items() if keyword in schema]


def typed(schema: dict[str, Any]) -> Check:
    wanted = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if not wanted or not all(isinstance(name, str) and name in KINDS for name in wanted):
        raise BadSchema("type", f"one or more of {', '.join(KINDS)}", schema["type"])
    kinds = frozenset(kind for name in wanted for kind in KINDS[name])
    takes_whole = int in kinds and float not in kinds
    expected = " or ".join(ARTICLES.get(name, f"a {name}") for name in wanted)

    def check(value: Any, path: str) -> Any:
        if type(value) in kinds:
            return value
        if takes_whole and type(value) is float and value.is_integer():
            return int(value)  # 3.0 is an integer in JSON Schema, and range(3.0) is none in Python.
        raise Mistyped(path, expected, described(value))

    return check


def same(one: Any, other: Any) -> bool:
    """Equal as JSON: 1 is 1.0, and unlike in Python it is not true."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    return bool(one == other)


def _enum(schema: dict[str, Any]) -> Check:
    allowed = schema["enum"]
    if not isinstance(allowed, list):
        raise BadSchema("enum", "a list", allowed)
    return _one_of_these(allowed, f"one of {shown(allowed)}")


def _const(schema: dict[str, Any]) -> Check:
    return _one_of_these([schema["const"]], shown(schema["const"]))


def _one_of_these(allowed: list[Any], expected: str) -> Check:
    def check(value: Any, path: str) -> Any:
        if not any(same(value, each) for each in allowed):
            raise Mistyped(path, expected, shown(value))
        return value

    return check


def _bound(keyword: str, kinds: tuple[type, ...], words: str) -> Callable[[dict[str, Any]], Check]:
    is_lowest = keyword.startswith(("min", "exclusiveMin"))
    is_open = keyword.startswith("exclusive")
    is_size = float not in kinds

    def build(schema: dict[str, Any]) -> Check:
        limit = _number(schema, keyword, least=0 if is_size else None)

        def check(value: Any, path: str) -> Any:
            if type(value) in kinds:
                measured = len(value) if is_size else value
                is_beyond = (measured < limit) if is_lowest else (measured > limit)
                if is_beyond or (is_open and measured == limit):
                    raise Mistyped(path, words.format(limit), shown(measured))
            return value

        return check

    return build


def _number(schema: dict[str, Any], keyword: str, least: float | None) -> Any:
    found = schema[keyword]
    if type(found) not in (int, float) or (least is not None and found < least):
        raise BadSchema(keyword, "a number" if least is None else "a size", found)
    return found


def _multiple_of(schema: dict[str, Any]) -> Check:
    step = _number(schema, "multipleOf", least=None)
    if step <= 0:
        raise BadSchema("multipleOf", "a number above 0", step)

    def check(value: Any, path: str) -> Any:
        if type(value) in (int, float) and not _divides(step, value):
            raise Mistyped(path, f"a multiple of {step}", shown(value))
        return value

    return check


def _divides(step: Any, value: Any) -> bool:
    """Exactly, as they are written: 0.3 is three times 0.1."""
    from fractions import Fraction

    return (Fraction(repr(value)) / Fraction(repr(step))).denominator == 1


def matcher(pattern: Any, keyword: str) -> Callable[[str], object]:
    """Whether a text matches; `$` is its very end and a digit is one of ten, as in JavaScript."""
    import re

    try:
        text = pattern
        if pattern.endswith("$") and not pattern.endswith("\\$"):
            text = pattern[:-1] + r"\Z"
        return re.compile(text, re.ASCII).search
    except (re.error, AttributeError, OverflowError, RecursionError):
        raise BadSchema(keyword, "a regular expression", pattern) from None


def _pattern(schema: dict[str, Any]) -> Check:
    matches = matcher(schema["pattern"], "pattern")

    def check(value: Any, path: str) -> Any:
        if type(value) is str and not matches(value):
            raise Mistyped(path, f"text that matches {schema['pattern']}", shown(value))
        return value

    return check


def _unique(schema: dict[str, Any]) -> Check:
    def check(value: Any, path: str) -> Any:
        if schema["uniqueItems"] is True and type(value) is list and _has_twins(value):
            raise Mistyped(path, "without an item that comes twice", shown(value))
        return value

    return check


def _has_twins(values: list[Any]) -> bool:
    seen: dict[Any, list[Any]] = {}
    for value in values:
        alike = seen.setdefault(_sorted_under(value), [])
        if any(same(value, other) for other in alike):
            return True
        alike.append(value)
    return False


def _sorted_under(value: Any) -> Any:
    """Equal for equal values, so that only few need be compared."""
    if isinstance(value, dict):
        return ("object", frozenset(value))
    return ("array", len(value)) if isinstance(value, list) else value


def _required(schema: dict[str, Any]) -> Check:
    names = _names(schema["required"], "required")

    def check(value: Any, path: str) -> Any:
        for name in names if type(value) is dict else ():
            _must_have(value, name, path)
        return value

    return check


def _dependent(schema: dict[str, Any]) -> Check:
    found = schema["dependentRequired"]
    if not isinstance(found, dict):
        raise BadSchema("dependentRequired", "an object of lists of names", found)
    needs = {name: _names(names, "dependentRequired") for name, names in found.items()}

    def check(value: Any, path: str) -> Any:
        for name in value.keys() & needs.keys() if type(value) is dict else ():
            for needed in needs[name]:
                _must_have(value, needed, path)
        return value

    return check


def _must_have(value: dict[str, Any], name: str, path: str) -> None:
    if name not in value:
        raise Mistyped(f"{path}.{name}", "there", "missing")


def _names(found: Any, keyword: str) -> list[str]:
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise BadSchema(keyword, "a list of names", found)
    return found


def as_array(tensor: Any) -> Check:
    """A variable that was an array when it was pinned is an array again, not nested lists."""
    if not isinstance(tensor, dict) or not isinstance(tensor.get("dtype"), str):
        raise BadSchema("x-tensor", "an object with a dtype", tensor)

    def check(value: Any, path: str) -> Any:
        numpy = sys.modules.get("numpy")
        if numpy is None:
            return value
        try:
            with numpy.errstate(over="ignore"):
                array = numpy.asarray(value, dtype=tensor["dtype"])
        except (ValueError, TypeError, OverflowError) as error:
            raise Mistyped(path, f"an array of {tensor['dtype']}", str(error)) from None
        if array.dtype.name in NARROW and not numpy.isfinite(array).all():
            raise Mistyped(path, f"an array of {tensor['dtype']}", "beyond its range")
        if value == [] and tensor.get("shape"):  # It does not say how wide its rows would be.
            return array.reshape(0, *tensor["shape"][1:])
        return array

    return check


def described(value: Any) -> str:
    return NAMES.get(type(value), type(value).__name__)


def shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[:SHOWN_CHARACTERS_MAX]}..."


_NUMBERS, _TEXT, _LIST, _OBJECT = (int, float), (str,), (list,), (dict,)
RULES: dict[str, Callable[[dict[str, Any]], Check]] = {
    "type": typed,
    "enum": _enum,
    "const": _const,
    "minimum": _bound("minimum", _NUMBERS, "at least {}"),
    "maximum": _bound("maximum", _NUMBERS, "at most {}"),
    "exclusiveMinimum": _bound("exclusiveMinimum", _NUMBERS, "more than {}"),
    "exclusiveMaximum": _bound("exclusiveMaximum", _NUMBERS, "less than {}"),
    "multipleOf": _multiple_of,
    "minLength": _bound("minLength", _TEXT, "at least {} characters long"),
    "maxLength": _bound("maxLength", _TEXT, "at most {} characters long"),
    "pattern": _pattern,
    "minItems": _bound("minItems", _LIST, "at least {} items long"),
    "maxItems": _bound("maxItems", _LIST, "at most {} items long"),
    "uniqueItems": _unique,
    "required": _required,
    "minProperties": _bound("minProperties", _OBJECT, "of at least {} properties"),
    "maxProperties": _bound("maxProperties", _OBJECT, "of at most {} properties"),
    "dependentRequired": _dependent,
}
