"""A node's own document, from spec and manifest alone."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openapi_spec_validator import validate

from schemas.checkpoints import Manifest
from schemas.http import PROBLEMS
from schemas.json_schemas import documented
from services.api.node_examples import example_of, has_example
from services.api.node_openapi import NO_MANIFEST, PROBLEMS_OF_CALLS, node_document
from tests.builders import a_node
from tests.runtime.test_signature import SCHEMAS

ROWS = {"type": "array", "items": {"type": "number"}, "x-tensor": {"dtype": "uint8"}}
TREE = {"$ref": "#/$defs/tree", "$defs": {"tree": {"items": {"$ref": "#/$defs/tree"}}}}


def a_manifest(**schemas: Any) -> Manifest:
    variables = [
        {"name": name, "type": "a.Type", "schema": schema, "bytes": 1, "group": 0}
        for name, schema in schemas.items()
    ]
    python = {"implementation": "CPython", "version": "3.11.7", "executable": "python"}
    return Manifest.model_validate(
        {
            "format": 1,
            "python": python,
            "platform": {"system": "Linux", "machine": "x86_64"},
            "cloudpickle": "3.1",
            "variables": variables,
        }
    )


def a_document(manifest: Manifest | None, **spec: Any) -> dict[str, Any]:
    document = node_document(a_node(**spec), manifest)
    validate(document)
    return document


def the_call(document: dict[str, Any]) -> dict[str, Any]:
    (path,) = document["paths"].values()
    operation: dict[str, Any] = path["post"]
    return operation


def properties(document: dict[str, Any], kind: str) -> dict[str, Any]:
    found: dict[str, Any] = document["components"]["schemas"][kind]["properties"]
    return found


def is_taken(document: dict[str, Any], body: Any) -> bool:
    schema = the_call(document)["requestBody"]["content"]["application/json"]["schema"]
    whole = {**schema, "components": document["components"]}
    return bool(Draft202012Validator(whole).is_valid(body))


def test_one_checkpoint_and_other_marks_make_another_document() -> None:
    manifest = a_manifest(x={"type": "integer"}, z={"type": "string"})

    one = a_document(manifest, inputs=["x"], outputs=["y"])
    other = a_document(manifest, inputs=["z"], outputs=["x"])

    assert properties(one, "Input").keys() == {"x"}
    assert properties(other, "Input").keys() == {"z"}
    assert is_taken(one, {"input": {"x": 1}})
    assert not is_taken(one, {"input": {"z": "a"}})
    assert is_taken(other, {"input": {"z": "a"}})
    assert not is_taken(other, {"input": {"x": 1}})


@pytest.mark.parametrize(
    "body",
    [{}, {"input": {}}, {"input": {"x": "a"}}, {"input": {"x": 1, "y": 1}},
     {"input": {"x": 1}, "more": 1}, [], {"input": None}],
)  # fmt: skip
def test_all_inputs_are_required_and_no_others_taken(body: Any) -> None:
    document = a_document(a_manifest(x={"type": "integer"}), inputs=["x"])

    assert not is_taken(document, body)


def test_a_schema_of_its_own_wins_and_a_name_that_was_not_pinned_is_open() -> None:
    schema = {"type": "string", "description": "Ours.", "examples": ["a"]}
    own = {"name": "x", "schema": schema}
    document = a_document(a_manifest(x={"type": "integer"}), inputs=[own, "new"], outputs=["x"])

    assert properties(document, "Input") == {"x": schema, "new": {"examples": [0]}}
    assert properties(document, "Output")["x"]["type"] == "number"
    assert properties(document, "Output")["x"]["description"] == "Pinned as a.Type."


def test_an_array_is_described_with_the_range_of_its_numbers() -> None:
    document = a_document(a_manifest(x=ROWS), inputs=["x"])

    assert properties(document, "Input")["x"]["items"] == {
        "minimum": 0, "maximum": 255, "type": "number"
    }  # fmt: skip


def test_references_of_a_variable_lead_to_its_own_place() -> None:
    document = a_document(None, inputs=[{"name": "x", "schema": TREE}])

    assert is_taken(document, {"input": {"x": [[], [[]]]}})
    place = "#/components/schemas/Input/properties/x/$defs/tree"
    assert properties(document, "Input")["x"]["$ref"] == place


def test_without_a_manifest_it_says_so_and_tells_the_rest() -> None:
    document = a_document(None, inputs=["x"], outputs=["y"])

    assert NO_MANIFEST in document["info"]["description"]
    assert is_taken(document, {"input": {"x": ["anything"]}})


def test_what_a_caller_may_get_and_send_is_in_it() -> None:
    call = the_call(a_document(a_manifest(), inputs=["x"]))

    statuses = {str(PROBLEMS[code].status) for code in PROBLEMS_OF_CALLS}
    assert call["responses"].keys() == {"200", *statuses}
    assert {each["name"] for each in call["parameters"]} == {
        "X-Request-Timeout", "Idempotency-Key", "X-Request-ID"
    }  # fmt: skip


def test_the_example_of_a_call_is_one_that_the_node_takes() -> None:
    document = a_document(a_manifest(x=ROWS, z={"type": "string"}), inputs=["x", "z"])
    example = the_call(document)["requestBody"]["content"]["application/json"]["example"]

    assert example == {"input": {"x": [0], "z": "text"}}
    assert is_taken(document, example)


def test_where_no_example_is_known_none_is_given() -> None:
    hard = {"name": "x", "schema": {"type": "string", "pattern": "^a{3}$"}}
    call = the_call(a_document(None, inputs=[hard]))

    assert "example" not in call["requestBody"]["content"]["application/json"]


@given(SCHEMAS)
def test_an_example_that_is_given_fits(schema: Any) -> None:
    told = documented(schema, "#")
    if isinstance(told, dict) and has_example(told):
        assert Draft202012Validator(told).is_valid(example_of(told)), json.dumps(told)


def test_the_pinned_value_of_an_input_is_the_example_of_a_call() -> None:
    manifest = a_manifest(x={"type": "array", "items": {"type": "number"}})
    shown = manifest.variables[0].model_copy(update={"example": "[0.5, 2.0]"})
    manifest = manifest.model_copy(update={"variables": (shown,)})

    document = a_document(manifest, inputs=["x"], outputs=[])
    own = a_document(manifest, inputs=[{"name": "x", "schema": {"type": "string"}}], outputs=[])

    content = the_call(document)["requestBody"]["content"]["application/json"]
    assert content["example"] == {"input": {"x": [0.5, 2.0]}}
    assert is_taken(document, content["example"])
    assert properties(own, "Input")["x"]["examples"] != [[0.5, 2.0]]
