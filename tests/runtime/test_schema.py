"""The JSON Schema subset that inputs are checked against."""

from typing import Any

import pytest

from runtime.interpreter.schema import Mistyped, compiled

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name"],
    "additionalProperties": False,
}
ROW = {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2}
PAIR = {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}]}
INTEGERS = {"type": "array", "items": {"type": "integer"}}
EITHER = {"anyOf": [{"type": "integer"}, INTEGERS]}
NEITHER = "x must be an integer, not an array; x[0] must be an integer, not a string"


@pytest.mark.parametrize(
    ("schema", "value", "used"),
    [
        (None, object, object),
        ({}, [1, "a"], [1, "a"]),
        ({"type": "integer"}, 3.0, 3),
        ({"type": "number"}, 3, 3),
        ({"type": ["integer", "null"]}, None, None),
        (INTEGERS, [1, 2.0], [1, 2]),
        (PERSON, {"name": "a", "age": 3.0}, {"name": "a", "age": 3}),
        (PERSON, {"name": "a"}, {"name": "a"}),
        (ROW, [1, 2.5], [1, 2.5]),
        (PAIR, [1.0, "a", None], [1, "a", None]),
        (EITHER, [1.0], [1]),
        ({"enum": ["a", 1]}, 1, 1),
        ({"type": "string", "minLength": 1, "maxLength": 2}, "ab", "ab"),
        ({"type": "number", "minimum": 0, "maximum": 1}, 0.5, 0.5),
        ({"additionalProperties": {"type": "integer"}}, {"a": 1.0}, {"a": 1}),
        ({"unknown": "keyword"}, 1, 1),
    ],
)
def test_what_fits_is_used(schema: Any, value: Any, used: Any) -> None:
    result = compiled(schema)(value, "x")

    assert (result, type(result)) == (used, type(used))


@pytest.mark.parametrize(
    ("schema", "value", "sentence"),
    [
        ({"type": "integer"}, 2.5, "x must be an integer, not a number"),
        ({"type": "integer"}, True, "x must be an integer, not a boolean"),
        ({"type": "number"}, "1", "x must be a number, not a string"),
        ({"type": ["string", "null"]}, 1, "x must be a string or null, not an integer"),
        (INTEGERS, [1, None], "x[1] must be an integer, not null"),
        (PERSON, {"age": 1}, "x.name must be there, not missing"),
        (PERSON, {"name": "a", "age": -1}, "x.age must be at least 0, not -1"),
        (PERSON, {"name": "a", "size": 1}, "x.size must be absent, not there"),
        ({"items": ROW}, [[1, 2], [1]], "x[1] must be at least 2 items long, not 1"),
        (PAIR, [1, 2], "x[1] must be a string, not an integer"),
        ({"enum": [1]}, True, "x must be one of [1], not True"),
        ({"maxLength": 1}, "ab", "x must be at most 1 characters long, not 2"),
        (EITHER, ["a"], f"x must be one of several types ({NEITHER}), not an array"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_its_path(schema: Any, value: Any, sentence: str) -> None:
    with pytest.raises(Mistyped) as refusal:
        compiled(schema)(value, "x")

    assert str(refusal.value) == sentence
