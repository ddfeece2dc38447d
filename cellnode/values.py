"""Python values into JSON that a node understands, and back, or an error that names the culprit."""

from __future__ import annotations

import base64
import binascii
import json
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, time
from typing import Any
from uuid import UUID

from cellnode.documents import time_of
from cellnode.errors import ValueNotSent

Schema = Mapping[str, Any]
Read = Callable[[Any], Any]
Resolve = Callable[[Any], Schema]
DEPTH_MAX = 64
# Packages whose arrays and scalars know `tolist`; they are recognised without importing them.
ARRAY_PACKAGES = {"numpy", "torch", "pandas"}
BINARY_FORMATS = {"byte", "binary"}
NO_BASE64 = (
    "bytes have no form in JSON; give the node's input the schema "
    '{"type": "string", "contentEncoding": "base64"}, or send text'
)


class BytesFound(Exception):
    """Bytes are among the inputs: only the node's schema tells how they are sent."""


def encoded(inputs: Mapping[str, Any], *, may_hold_bytes: bool = True) -> bytes:
    """The body of a call; BytesFound, or ValueNotSent with the path to what cannot be sent."""
    try:
        return _ENCODER.encode({"input": inputs}).encode()
    except BytesFound:
        if may_hold_bytes:
            raise
        raise _refused(inputs, NO_BASE64) from None
    except (TypeError, ValueError, RecursionError) as error:
        raise _refused(inputs, str(error)) from None


def encoded_value(value: Any) -> str:
    """One value as the JSON text that a node would be sent; raises what `encoded` raises."""
    try:
        return _ENCODER.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise _refused({"value": value}, str(error)) from None


def _refused(inputs: Mapping[str, Any], otherwise: str) -> ValueNotSent:
    for name, value in inputs.items():
        for path, reason in _culprits(value, name, 0):
            return ValueNotSent(path, reason)
    return ValueNotSent("input", otherwise)


def _plain(value: Any) -> Any:
    """JSON's own types for one that is none of them."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise BytesFound
    if isinstance(value, (datetime, date, time)):
        if value != value:
            raise TypeError("NaT is no time; send None")
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    package = str(type(value).__module__).partition(".")[0]
    if package in ARRAY_PACKAGES:
        return _of_array(value)
    raise TypeError(_refusal(value))


def _of_array(value: Any) -> Any:
    if hasattr(value, "columns") and hasattr(value, "to_dict"):
        return value.to_dict(orient="records")
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind == "M" and hasattr(value, "astype") and not hasattr(value, "index"):
        return _lists(value.astype(str))
    if kind == "m":
        raise TypeError(f"{value.dtype} has no form in JSON; send seconds")
    return _lists(value)


def _lists(value: Any) -> Any:
    plain = value.tolist() if hasattr(value, "tolist") else value
    if type(plain) is type(value):  # A long double stays one.
        raise TypeError(_refusal(value))
    return plain


def _refusal(value: Any) -> str:
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    if isinstance(value, (set, frozenset)):
        return f"a {kind} has no form in JSON; send a list"
    return f"a {kind} has no form in JSON; send numbers, texts, lists or dicts of it"


_ENCODER = json.JSONEncoder(
    allow_nan=False, ensure_ascii=False, separators=(",", ":"), default=_plain
)


def _culprits(value: Any, path: str, depth: int) -> Iterator[tuple[str, str]]:
    """Where it cannot be sent, and why; looked for only after encoding has failed."""
    if depth > DEPTH_MAX * 2:
        yield path, "it nests too deep, or holds itself"
    elif isinstance(value, Mapping) and isinstance(value, dict):
        for key, child in value.items():
            if not isinstance(key, (str, int, float, type(None))):
                yield path, f"the key {key!r} is no text"
            yield from _culprits(child, f"{path}.{key}", depth + 1)
    elif isinstance(value, (list, tuple)):
        for index, child in enumerate(value):
            yield from _culprits(child, f"{path}[{index}]", depth + 1)
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield path, f"{value!r} has no form in JSON; send None, or replace it first"
    elif isinstance(value, str):
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            yield path, "the text holds half of a character (a lone surrogate)"
    elif not isinstance(value, (int, type(None))):
        yield from _culprits_within(value, path, depth)


def _culprits_within(value: Any, path: str, depth: int) -> Iterator[tuple[str, str]]:
    try:
        plain = _plain(value)
    except BytesFound:
        yield path, NO_BASE64
    except (TypeError, ValueError) as error:
        yield path, str(error)
    else:
        yield from _culprits(plain, path, depth + 1)


def with_base64(value: Any, schema: Any, resolve: Resolve, depth: int = 0) -> Any:
    """The value with every bytes as base64 text where the schema takes such."""
    found = resolve(schema)
    if depth > DEPTH_MAX or not found:
        return value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(value).decode() if _takes_base64(found, resolve) else value
    if isinstance(value, dict):
        known, others = found.get("properties", {}), found.get("additionalProperties")
        return {
            key: with_base64(child, known.get(key, others), resolve, depth + 1)
            for key, child in value.items()
        }
    if isinstance(value, (list, tuple)):
        items = found.get("items")
        return [with_base64(child, items, resolve, depth + 1) for child in value]
    return value


def _takes_base64(schema: Schema, resolve: Resolve) -> bool:
    options = [resolve(each) for each in (*schema.get("anyOf", ()), *schema.get("oneOf", ()))]
    return any(_is_base64(each) for each in (schema, *options))


def _is_base64(schema: Schema) -> bool:
    return schema.get("contentEncoding") == "base64" or schema.get("format") in BINARY_FORMATS


def reader_of(schema: Any, resolve: Resolve, depth: int = 0) -> Read | None:
    """What turns JSON of this schema into Python values; None where it is them already."""
    found = resolve(schema)
    if depth > DEPTH_MAX or not found:
        return None
    if _is_base64(found):
        return _bytes
    if found.get("format") in _TEXTS:
        return _TEXTS[found["format"]]
    choices = [each for each in (*found.get("anyOf", ()), *found.get("oneOf", ()))]
    others = [each for each in choices if resolve(each).get("type") != "null"]
    if len(others) == 1:
        return reader_of(others[0], resolve, depth + 1)
    if "items" in found:
        item = reader_of(found["items"], resolve, depth + 1)
        return None if item is None else _each(item)
    return _members(found, resolve, depth)


def _members(schema: Schema, resolve: Resolve, depth: int) -> Read | None:
    properties = schema.get("properties", {})
    found = {name: reader_of(each, resolve, depth + 1) for name, each in properties.items()}
    reads = {name: read for name, read in found.items() if read is not None}
    others = reader_of(schema.get("additionalProperties"), resolve, depth + 1)
    if not reads and others is None:
        return None

    def read_object(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        for name in value:
            read = reads.get(name) if name in properties else others
            if read is not None:
                value[name] = read(value[name])
        return value

    return read_object


def _each(item: Read) -> Read:
    return lambda value: [item(each) for each in value] if isinstance(value, list) else value


def _text(read: Callable[[str], Any]) -> Read:
    """Reads texts; one that is not as its schema says stays what it is."""

    def read_text(value: Any) -> Any:
        try:
            return read(value) if isinstance(value, str) else value
        except ValueError:
            return value

    return read_text


def _from_base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None


_bytes = _text(_from_base64)
_TEXTS: dict[str, Read] = {
    "date-time": _text(time_of),
    "date": _text(date.fromisoformat),
}
