"""JSON Schema (2020-12) of a value, so that an API can be made without unpickling."""

from __future__ import annotations

import sys
from typing import Any

from cellnode.errors import ValueNotSent
from cellnode.values import BytesFound, encoded_value

Schema = dict[str, Any]
ITEMS_MAX = 10_000  # How many elements of a list are looked at.
PROPERTIES_MAX = 64
PREFIX_ITEMS_MAX = 16
EXAMPLE_CHARACTERS_MAX = 2_000
EXAMPLE_PICKLED_BYTES_MAX = 64_000  # A larger value is not even tried.
DEPTH_MAX = 12
KINDS = {"b": "boolean", "i": "integer", "u": "integer", "f": "number", "U": "string"}
SCALARS: dict[type, str] = {
    type(None): "null", bool: "boolean", int: "integer", float: "number", str: "string",
}  # fmt: skip


def schema_of(value: Any, depth: int = 0) -> Schema:
    """What is known of the type of such a value; `{}` where JSON has no such type."""
    kind = type(value)
    if kind in SCALARS:
        return {"type": SCALARS[kind]}
    if depth >= DEPTH_MAX:
        return {}
    if kind is list:
        return _list(value, depth)
    if kind is tuple:
        return _tuple(value, depth)
    if kind is dict:
        return _dict(value, depth)
    return _of_numpy(value)


def example_of(value: Any, pickled_bytes: int) -> dict[str, str]:
    """The value as JSON text under `example`; nothing where it is long or JSON has no such value.

    Text, since a manifest holds no floats.
    """
    if pickled_bytes > EXAMPLE_PICKLED_BYTES_MAX or schema_of(value) in ({}, {"type": "null"}):
        return {}
    try:
        text = encoded_value(value)
    except (BytesFound, ValueNotSent):
        return {}
    return {"example": text} if len(text) <= EXAMPLE_CHARACTERS_MAX else {}


def _list(values: list[Any], depth: int) -> Schema:
    looked_at = values[:ITEMS_MAX]
    kinds = set(map(type, looked_at))
    if kinds <= SCALARS.keys():
        # The usual long list of numbers is looked at in one sweep.
        items = _any_of([{"type": SCALARS[kind]} for kind in kinds])
    else:
        items = _any_of([schema_of(each, depth + 1) for each in looked_at])
    # One that was not looked at may be of another type.
    is_known = items and len(values) <= ITEMS_MAX
    return {"type": "array", "items": items} if is_known else {"type": "array"}


def _any_of(schemas: list[Schema]) -> Schema:
    distinct: list[Schema] = []
    for schema in schemas:
        if schema not in distinct:
            distinct.append(schema)
    if {"type": "number"} in distinct and {"type": "integer"} in distinct:
        distinct.remove({"type": "integer"})
    if {} in distinct or len(distinct) > PREFIX_ITEMS_MAX:
        return {}
    distinct.sort(key=repr)
    if len(distinct) == 1:
        return distinct[0]
    return {"anyOf": distinct} if distinct else {}


def _tuple(values: tuple[Any, ...], depth: int) -> Schema:
    if len(values) > PREFIX_ITEMS_MAX:
        return _list(list(values), depth)
    if not values:
        return {"type": "array", "maxItems": 0}
    return {
        "type": "array",
        "prefixItems": [schema_of(each, depth + 1) for each in values],
        "minItems": len(values),
        "maxItems": len(values),
    }


def _dict(values: dict[Any, Any], depth: int) -> Schema:
    if not all(type(key) is str for key in values):
        return {}
    if len(values) > PROPERTIES_MAX or not all(map(str.isidentifier, values)):
        others = _any_of([schema_of(each, depth + 1) for each in list(values.values())[:ITEMS_MAX]])
        is_known = others and len(values) <= ITEMS_MAX
        return {"type": "object", **({"additionalProperties": others} if is_known else {})}
    properties = {key: schema_of(values[key], depth + 1) for key in sorted(values)}
    schema: Schema = {"type": "object", "properties": properties}
    return {**schema, "required": list(properties)} if properties else schema


def _of_numpy(value: Any) -> Schema:
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return {}
    if isinstance(value, numpy.generic):
        kind = KINDS.get(value.dtype.kind)
        return {"type": kind} if kind else {}
    if type(value) is numpy.ndarray:
        return _array(value)
    return {}


def _array(array: Any) -> Schema:
    kind = KINDS.get(array.dtype.kind)
    if kind is None or array.dtype.kind == "U":
        return {}
    schema: Schema = {"type": kind}
    for position, size in reversed(list(enumerate(array.shape))):
        schema = {"type": "array", "items": schema}
        if position:  # The first dimension is free: how many rows a request has.
            schema = {**schema, "minItems": size, "maxItems": size}
    shape = [None, *array.shape[1:]] if array.shape else []
    return {**schema, "x-tensor": {"dtype": array.dtype.name, "shape": shape}}
