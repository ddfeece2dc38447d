"""The part of JSON Schema 2020-12 that signatures use, compiled once into plain functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .schema_rules import (
    KINDS,
    RULES,
    BadSchema,
    Check,
    Mistyped,
    as_array,
    described,
    matcher,
    rules_of,
    shown,
)

__all__ = ["KEYWORDS", "BadSchema", "Check", "Mistyped", "compiled", "described", "quick_kinds"]

DEPTH_MAX = 64
_Builder = Callable[[dict[str, Any], "Scope"], Check]


class Scope:
    """Where in a schema we are: how deep, and where its references lead."""

    def __init__(self, root: Any, depth: int = 0, known: dict[str, Check] | None = None) -> None:
        self.root = root
        self.depth = depth
        self.known = {} if known is None else known  # What references were compiled into.

    def inside(self) -> Scope:
        return Scope(self.root, self.depth + 1, self.known)

    def target(self, reference: Any) -> Any:
        """The schema that `#/...` points at."""
        if not isinstance(reference, str) or not (reference + "/").startswith("#/"):
            raise BadSchema("$ref", "a place in this schema, like #/$defs/name", reference)
        found = self.root
        for part in reference.split("/")[1:]:
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and name.isdigit() and int(name) < len(found):
                found = found[int(name)]
            elif isinstance(found, dict) and name in found:
                found = found[name]
            else:
                raise BadSchema("$ref", "a place in this schema, like #/$defs/name", reference)
        return found


def compiled(schema: Any) -> Check:
    """One function that checks what this schema says; keywords it does not know say nothing."""
    return _anything if schema is None else _compiled(schema, Scope(schema))


def _compiled(schema: Any, scope: Scope) -> Check:
    if schema is True:
        return _anything
    if schema is False:
        return _nothing
    if not isinstance(schema, dict):
        raise BadSchema("a schema", "an object or a boolean", schema)
    if scope.depth > DEPTH_MAX:
        raise BadSchema("a schema", f"at most {DEPTH_MAX} schemas deep", "more")
    parts = rules_of(schema)
    parts += [build(schema, scope) for keyword, build in _BUILDERS.items() if keyword in schema]
    if "x-tensor" in schema:
        parts.append(as_array(schema["x-tensor"]))
    if len(parts) == 1:
        return parts[0]
    return _all(parts) if parts else _anything


def _anything(value: Any, path: str) -> Any:
    return value


def _nothing(value: Any, path: str) -> Any:
    raise Mistyped(path, "absent", "there")


def _all(parts: list[Check]) -> Check:
    def check(value: Any, path: str) -> Any:
        for part in parts:
            value = part(value, path)
        return value

    return check


def _list_of_checks(schema: dict[str, Any], keyword: str, scope: Scope) -> list[Check]:
    if not isinstance(schema[keyword], list):
        raise BadSchema(keyword, "a list of schemas", schema[keyword])
    return [_compiled(each, scope.inside()) for each in schema[keyword]]


def _map_of_checks(schema: dict[str, Any], keyword: str, scope: Scope) -> dict[str, Check]:
    if not isinstance(schema[keyword], dict):
        raise BadSchema(keyword, "an object of schemas", schema[keyword])
    return {name: _compiled(each, scope.inside()) for name, each in schema[keyword].items()}


def _items(schema: dict[str, Any], scope: Scope) -> Check:
    item = schema["items"]
    check_item = _compiled(item, scope.inside())
    first = len(schema.get("prefixItems", ()))
    quick = quick_kinds(item)

    def check(value: Any, path: str) -> Any:
        if type(value) is not list:
            return value
        if quick and not first and set(map(type, value)) <= quick:
            return value  # An array of plain scalars is looked at in one sweep.
        for index in range(first, len(value)):
            value[index] = check_item(value[index], f"{path}[{index}]")
        return value

    return check


def quick_kinds(schema: Any) -> frozenset[type]:
    """The types that are certainly right, where the schema says nothing but one type."""
    is_plain = isinstance(schema, dict) and schema.keys() == {"type"}
    return frozenset(KINDS[schema["type"]] if is_plain and isinstance(schema["type"], str) else ())


def _prefix_items(schema: dict[str, Any], scope: Scope) -> Check:
    checks = _list_of_checks(schema, "prefixItems", scope)

    def check(value: Any, path: str) -> Any:
        if type(value) is list:
            for index, check_item in enumerate(checks[: len(value)]):
                value[index] = check_item(value[index], f"{path}[{index}]")
        return value

    return check


def _properties(schema: dict[str, Any], scope: Scope) -> Check:
    checks = _map_of_checks(schema, "properties", scope)

    def check(value: Any, path: str) -> Any:
        if type(value) is dict:
            for name in value.keys() & checks.keys():
                value[name] = checks[name](value[name], f"{path}.{name}")
        return value

    return check


def _patterns(schema: dict[str, Any], scope: Scope) -> Check:
    checks = _map_of_checks(schema, "patternProperties", scope)
    found = [(matcher(pattern, "patternProperties"), each) for pattern, each in checks.items()]

    def check(value: Any, path: str) -> Any:
        for name in list(value) if type(value) is dict else ():
            for matches, check_property in found:
                if matches(name):
                    value[name] = check_property(value[name], f"{path}.{name}")
        return value

    return check


def _additional(schema: dict[str, Any], scope: Scope) -> Check:
    known = schema.get("properties", {}).keys()
    matchers = [matcher(each, "patternProperties") for each in schema.get("patternProperties", ())]
    check_other = _compiled(schema["additionalProperties"], scope.inside())

    def check(value: Any, path: str) -> Any:
        for name in value.keys() - known if type(value) is dict else ():
            if not any(matches(name) for matches in matchers):
                value[name] = check_other(value[name], f"{path}.{name}")
        return value

    return check


def _property_names(schema: dict[str, Any], scope: Scope) -> Check:
    check_name = _compiled(schema["propertyNames"], scope.inside())

    def check(value: Any, path: str) -> Any:
        for name in value if type(value) is dict else ():
            check_name(name, f"the name {shown(name)} in {path}")
        return value

    return check


def _all_of(schema: dict[str, Any], scope: Scope) -> Check:
    return _all(_list_of_checks(schema, "allOf", scope))


def _any_of(schema: dict[str, Any], scope: Scope) -> Check:
    checks = _list_of_checks(schema, "anyOf", scope)
    spared = _sparing(schema["anyOf"])

    def check(value: Any, path: str) -> Any:
        refusals = []
        for each in checks:
            try:
                return each(spared(value), path)
            except Mistyped as refusal:
                refusals.append(str(refusal))
        raise Mistyped(path, f"one of several types ({'; '.join(refusals)})", described(value))

    return check


def _one_of(schema: dict[str, Any], scope: Scope) -> Check:
    checks = _list_of_checks(schema, "oneOf", scope)
    spared = _sparing(schema["oneOf"])

    def check(value: Any, path: str) -> Any:
        fitting, refusals = [], []
        for each in checks:
            try:
                fitting.append(each(spared(value), path))
            except Mistyped as refusal:
                refusals.append(str(refusal))
        if len(fitting) != 1:
            told = f"; {'; '.join(refusals)}" if not fitting else ""
            raise Mistyped(path, f"of exactly one of several types{told}", described(value))
        return fitting[0]

    return check


def _not(schema: dict[str, Any], scope: Scope) -> Check:
    unwanted = _compiled(schema["not"], scope.inside())
    spared = _sparing(schema["not"])

    def check(value: Any, path: str) -> Any:
        try:
            unwanted(spared(value), path)
        except Mistyped:
            return value
        raise Mistyped(path, "other than its schema forbids", shown(value))

    return check


def _sparing(schema: Any) -> Callable[[Any], Any]:
    """Arrays are made of lists in place, and a schema that does not fit must leave none behind."""
    if "x-tensor" not in repr(schema):
        return lambda value: value
    from copy import deepcopy

    return deepcopy


def _reference(schema: dict[str, Any], scope: Scope) -> Check:
    """Compiled once and looked up when it is needed: a schema may lead to itself."""
    reference = schema["$ref"]
    target = scope.target(reference)
    if reference not in scope.known:
        scope.known[reference] = _nothing  # Until the next line is over.
        scope.known[reference] = _compiled(target, scope.inside())
    known = scope.known

    def check(value: Any, path: str) -> Any:
        return known[reference](value, path)

    return check


_BUILDERS: dict[str, _Builder] = {
    "$ref": _reference,
    "properties": _properties,
    "patternProperties": _patterns,
    "additionalProperties": _additional,
    "propertyNames": _property_names,
    "prefixItems": _prefix_items,
    "items": _items,
    "allOf": _all_of,
    "anyOf": _any_of,
    "oneOf": _one_of,
    "not": _not,
}

# What is checked, and therefore what a node's API document may say of its variables.
KEYWORDS = frozenset({*RULES, *_BUILDERS, "x-tensor"})
