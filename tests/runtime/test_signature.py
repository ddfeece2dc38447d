"""What a node's document says of its variables is what the interpreter checks, to the value."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from runtime.interpreter import signature
from runtime.interpreter.schema import KEYWORDS, BadSchema, Mistyped, compiled
from schemas import json_schemas
from schemas.json_schemas import documented, fault_of
from schemas.signatures import Variable, input_schema, output_schema
from tests.runtime.instances import Instances

NAMES = st.sampled_from(["a", "b", "a1"])
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from([0.5, 1.0, -2.0, 1e300]),
    st.sampled_from(["", "a", "b1", "long"]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
SIZES, LIMITS = st.integers(0, 3), st.sampled_from([-1, 0, 0.5, 1, 2])
KINDS = st.sampled_from(sorted(json_schemas.KINDS))
PATTERNS = st.sampled_from(["^a", "1$", "[0-9]", "a|b"])


def of_schemas(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Some keywords at a time, each well-formed."""
    several, named = st.lists(inner, min_size=1, max_size=3), st.dictionaries(NAMES, inner)
    keywords: dict[str, st.SearchStrategy[Any]] = {
        "type": KINDS | st.lists(KINDS, min_size=1, max_size=3, unique=True),
        "enum": st.lists(VALUES, min_size=1, max_size=3), "const": VALUES,
        **dict.fromkeys(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"], LIMITS),
        **dict.fromkeys(["minLength", "maxLength", "minItems", "maxItems"], SIZES),
        **dict.fromkeys(["minProperties", "maxProperties"], SIZES),
        "multipleOf": st.integers(1, 3), "pattern": PATTERNS, "uniqueItems": st.booleans(),
        "required": st.lists(NAMES, unique=True),
        "dependentRequired": st.dictionaries(NAMES, st.lists(NAMES, unique=True)),
        "properties": named, "patternProperties": st.dictionaries(PATTERNS, inner, max_size=2),
        **dict.fromkeys(["additionalProperties", "propertyNames", "items", "not"], inner),
        **dict.fromkeys(["prefixItems", "allOf", "anyOf", "oneOf"], several),
        "if": inner, "then": inner, "contains": inner, "unevaluatedProperties": inner,
        "title": st.just("A title"),
    }  # fmt: skip
    pairs = st.sampled_from(sorted(keywords)).flatmap(
        lambda keyword: st.tuples(st.just(keyword), keywords[keyword])
    )
    return st.lists(pairs, max_size=4).map(dict)


SCHEMAS = st.recursive(st.booleans(), of_schemas, max_leaves=4)


def is_taken(schema: Any, value: Any) -> bool:
    try:
        compiled(schema)(deepcopy(value), "x")
    except Mistyped:
        return False
    return True


@given(SCHEMAS, VALUES)
@settings(max_examples=300)
def test_a_value_is_taken_exactly_if_it_fits_the_document(schema: Any, value: Any) -> None:
    told = documented(schema, "#")

    assert is_taken(schema, value) is Draft202012Validator(told).is_valid(value)


@pytest.mark.full
@pytest.mark.timeout(300)
@given(SCHEMAS, VALUES)
@settings(max_examples=5_000)
def test_a_value_is_taken_exactly_if_it_fits_the_document_at_length(
    schema: Any, value: Any
) -> None:
    told = documented(schema, "#")

    assert is_taken(schema, value) is Draft202012Validator(told).is_valid(value)


TREE = {
    "$ref": "#/$defs/tree",
    "$defs": {
        "tree": {"type": "object", "properties": {"left": {"$ref": "#/$defs/tree"}}},
        "unused": {"required": 3},
    },
}


@pytest.mark.parametrize(
    ("value", "fits"), [({}, True), ({"left": {"left": {}}}, True), ({"left": {"left": 1}}, False)]
)
def test_a_schema_may_lead_to_itself(value: Any, fits: bool) -> None:
    at = "#/components/schemas/Input/properties/x"
    told = documented(TREE, at)

    document = {"components": {"schemas": {"Input": {"properties": {"x": told}}}}, "$ref": at}
    assert is_taken(TREE, value) is fits
    assert Draft202012Validator(document).is_valid(value) is fits


@pytest.mark.parametrize(
    "schema",
    [
        3, {"type": "float"}, {"type": []}, {"enum": "a"}, {"minimum": "a"}, {"minLength": -1},
        {"multipleOf": 0}, {"pattern": "("}, {"required": 3}, {"dependentRequired": {"a": "b"}},
        {"properties": []}, {"patternProperties": {"(": {}}}, {"items": 3}, {"anyOf": {}},
        {"not": None}, {"$ref": "https://example.org/a"}, {"$ref": "#/$defs/none"},
        {"x-tensor": {"shape": [1]}}, {"items": {"items": {"type": "float"}}},
        {"$ref": "#/$defs/a", "$defs": {"a": {"type": "float"}}},
    ],
)  # fmt: skip
def test_a_schema_that_cannot_be_checked_is_refused_by_both_and_documented_by_none(
    schema: Any,
) -> None:
    assert fault_of(schema)
    assert documented(schema, "#") == {}
    with pytest.raises(BadSchema):
        compiled(schema)


def test_the_document_knows_the_keywords_that_the_interpreter_checks() -> None:
    assert json_schemas.KEYWORDS.keys() == KEYWORDS


PINNED: dict[str, Any] = {
    "whole": {"type": "integer"},
    "later": {"type": "null"},
    "odd": {},
    "rows": {"type": "array", "items": {"type": "number"}},
    "either": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
}


@pytest.mark.parametrize("name", [*PINNED, "new"])
@pytest.mark.parametrize("own", [None, {}, {"type": "string"}])
def test_both_ask_the_same_of_a_variable(name: str, own: Any) -> None:
    variable = Variable.model_validate({"name": name, "schema": own})
    declared = {"name": name, "schema": own}

    assert input_schema(variable, PINNED) == signature.input_schema(declared, PINNED)
    assert output_schema(variable, PINNED) == signature.output_schema(declared, PINNED)


@pytest.mark.parametrize(
    ("name", "taken", "given"),
    [
        ("whole", {"type": "integer"}, {"type": "number"}),
        ("rows", PINNED["rows"], {"type": "array"}),
        ("later", None, None),
        ("either", PINNED["either"], None),
        ("new", None, None),
    ],
)
def test_an_input_has_its_pinned_type_and_an_output_its_kind(
    name: str, taken: Any, given: Any
) -> None:
    variable = Variable(name=name)

    assert input_schema(variable, PINNED) == taken
    assert output_schema(variable, PINNED) == given


@pytest.mark.parametrize(
    ("kind", "least", "most"),
    [("uint8", 0, 255), ("int16", -32768, 32767), ("float16", -65504.0, 65504.0)],
)
def test_the_numbers_of_an_array_are_within_its_range(kind: str, least: Any, most: Any) -> None:
    row = {"type": "array", "items": {"type": "number"}, "x-tensor": {"dtype": kind}}
    told = documented(row, "#")

    assert isinstance(told, dict)
    assert told["items"] == {"type": "number", "minimum": least, "maximum": most}


@pytest.mark.parametrize(
    ("kind", "value"), [("uint8", 256), ("int8", -129), ("float32", 1e39), ("float16", 1e5)]
)
def test_a_number_beyond_the_range_of_an_array_is_refused(kind: str, value: Any) -> None:
    pytest.importorskip("numpy", reason="numpy comes with the tests' dependencies")
    schema = {"type": "array", "x-tensor": {"dtype": kind, "shape": [None]}}

    assert is_taken(schema, [1])
    assert not is_taken(schema, [1, value])


def test_an_empty_array_has_the_width_that_it_was_pinned_with() -> None:
    numpy = pytest.importorskip("numpy", reason="numpy comes with the tests' dependencies")
    schema = {"type": "array", "x-tensor": {"dtype": "float64", "shape": [None, 64]}}

    assert compiled(schema)([], "x").shape == numpy.empty((0, 64)).shape


def test_an_answer_is_what_the_document_says_or_a_problem(instances: Instances) -> None:
    whole = {"name": "own", "schema": {"type": "integer"}}
    cell = "own, total, rows = x, x, (x,)"
    state = "total = 0; rows = [1]"
    instance = instances.start(cell, state=state, inputs=["x"], outputs=[whole, "total", "rows"])
    instance.ready()

    assert instance.output({"x": 2.0}) == {"own": 2.0, "total": 2.0, "rows": [2.0]}
    for value, field in [(0.5, "output.own"), ("a", "output.own")]:
        answer = instance.execute({"x": value})
        assert (answer.status, answer.json["code"]) == (500, "invalid-output")
        assert answer.json["field"] == field
