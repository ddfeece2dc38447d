"""The JSON Schema of a value."""

import sys
from typing import Any

import pytest

from cellnode.pin_schemas import example_of, schema_of

INTEGER = {"type": "integer"}


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (None, {"type": "null"}),
        (True, {"type": "boolean"}),
        (1, INTEGER),
        (1.5, {"type": "number"}),
        ("a", {"type": "string"}),
        ([], {"type": "array"}),
        ([1, 2], {"type": "array", "items": INTEGER}),
        ([1, 2.5], {"type": "array", "items": {"type": "number"}}),
        ([1, "a"], {"type": "array", "items": {"anyOf": [INTEGER, {"type": "string"}]}}),
        ([[1], [2]], {"type": "array", "items": {"type": "array", "items": INTEGER}}),
        ([object()], {"type": "array"}),
        ({}, {"type": "object", "properties": {}}),
        ({"b": 1}, {"type": "object", "properties": {"b": INTEGER}, "required": ["b"]}),
        ({"not a name": 1}, {"type": "object", "additionalProperties": INTEGER}),
        ({1: 2}, {}),
        ((1, "a"), {"type": "array", "prefixItems": [INTEGER, {"type": "string"}],
                    "minItems": 2, "maxItems": 2}),
        ({1}, {}),
        (object(), {}),
    ],
)  # fmt: skip
def test_a_value_has_the_schema(value: Any, schema: dict[str, Any]) -> None:
    assert schema_of(value) == schema


def test_arrays_are_nested_arrays_whose_first_dimension_is_free() -> None:
    import numpy as np

    row = {"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 3}
    assert schema_of(np.zeros((5, 3), dtype="float32")) == {
        "type": "array",
        "items": row,
        "x-tensor": {"dtype": "float32", "shape": [None, 3]},
    }
    assert schema_of(np.int64(3)) == INTEGER
    assert schema_of(np.array([True]))["items"] == {"type": "boolean"}
    assert schema_of(np.array([object()])) == {}


def test_values_that_hold_themselves_end() -> None:
    circle: list[Any] = []
    circle.append(circle)

    assert schema_of(circle)["type"] == "array"


def test_long_lists_of_unlike_things_are_not_promised_what_was_not_seen() -> None:
    assert schema_of([1] * 20_000) == {"type": "array"}


def test_pinning_imports_no_numpy() -> None:
    import subprocess

    program = "import sys, cellnode; assert 'numpy' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", program], cwd=".", timeout=60, check=False)

    assert done.returncode == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.5, "1.5"), ("äb", '"äb"'), ([1, 2], "[1,2]"), ({"a": None}, '{"a":null}')],
)
def test_a_short_value_is_its_own_example(value: Any, text: str) -> None:
    assert example_of(value, 10) == {"example": text}


@pytest.mark.parametrize(
    "value", [None, float("nan"), "x" * 3000, print, object(), b"bytes", {1, 2}, [object()]]
)
def test_what_is_long_or_no_json_is_no_example(value: Any) -> None:
    assert example_of(value, 10) == {}
    assert example_of([1], 10**9) == {}
