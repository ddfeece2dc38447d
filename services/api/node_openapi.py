"""The OpenAPI document of one node, from its spec and its checkpoint's manifest; pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from schemas.checkpoints import Manifest
from schemas.http import (
    BODY_BYTES_MAX,
    ERROR_HEADER,
    EXECUTION_US_HEADER,
    INSTANCE_HEADER,
    PROJECT_HEADER,
    REQUEST_ID_HEADER,
    REQUEST_TIMEOUT_HEADER,
)
from schemas.ids import DEFAULT_PROJECT
from schemas.json_schemas import documented
from schemas.nodes import Node
from schemas.signatures import Variable, input_schema, output_schema
from schemas.views import ProblemView
from services.api.node_examples import example_of, has_example
from services.api.openapi import OPENAPI_VERSION
from services.api.openapi_models import plain_schema
from services.api.openapi_problems import by_status, not_executed_header, response_of

Json = dict[str, Any]
# Above 0, as the gateway reads it.
SECONDS_PATTERN = r"^([1-9][0-9]{0,5}(\.[0-9]{1,6})?|0\.[0-9]{0,5}[1-9])$"
INPUT, OUTPUT = "#/components/schemas/Input", "#/components/schemas/Output"

# What somebody who calls the node with a well-formed request may get all the same, and from whom.
PROBLEMS_OF_CALLS = (
    "bad-request", "invalid-json", "invalid-input", "node-unknown", "method-not-allowed",
    "request-timeout", "node-deleting", "request-too-large", "uri-too-long", "headers-too-large",
    "cell-error", "invalid-output", "response-too-large", "interpreter-lost", "instance-lost",
    "starting", "no-healthy-instance", "node-suspended", "queue-full", "deadline-exceeded",
)  # fmt: skip
NO_MANIFEST = (
    "The checkpoint's manifest cannot be read now, so variables that have no schema of their own "
    "are described as open; the node checks them all the same."
)


def node_document(node: Node, manifest: Manifest | None) -> Json:
    """What the node takes and answers; without a manifest it says that it cannot tell all."""
    pinned = {} if manifest is None else {one.name: one for one in manifest.variables}
    schemas = {name: one.json_schema for name, one in pinned.items()}
    inputs = {
        one.name: _described(one, input_schema(one, schemas), f"{INPUT}/properties/{one.name}")
        for one in node.spec.inputs
    }
    outputs = {
        one.name: _described(one, output_schema(one, schemas), f"{OUTPUT}/properties/{one.name}")
        for one in node.spec.outputs
    }
    for name, told in (*inputs.items(), *outputs.items()):
        if name in pinned:
            told.setdefault("description", f"Pinned as {pinned[name].type}.")
    for one in node.spec.inputs:
        told, own = inputs[one.name], pinned.get(one.name)
        if one.json_schema is None and own is not None and own.example:
            told.setdefault("examples", [json.loads(own.example)])
        if has_example(told):
            told.setdefault("examples", [example_of(told)])
    return {
        "openapi": OPENAPI_VERSION,
        "info": _info(node, manifest),
        "servers": [{"url": "/"}],
        "security": [],
        "tags": [{"name": node.node}],
        "paths": {f"/v1/nodes/{node.node}:execute": {"post": _call(node, inputs, outputs)}},
        "components": {
            "schemas": {
                "Input": _object(inputs, "The marked input variables: all, and no others."),
                "Output": _object(outputs, "The marked output variables."),
                "ProblemView": plain_schema(ProblemView),
            },
            "headers": {"RequestId": _header("Of this call, always.", required=True)},
        },
    }


def _described(variable: Variable, schema: Any, pointer: str) -> Any:
    told = documented(schema, pointer)
    # A boolean schema has no place for a sentence; {} and {"not": {}} say the same.
    return ({} if told else {"not": {}}) if isinstance(told, bool) else told


def _info(node: Node, manifest: Manifest | None) -> Json:
    spec = node.spec
    sentences = [
        f"The node `{node.node}` of project `{node.project}`, made from the checkpoint "
        f"`{spec.checkpoint[:12]}`.",
        f"A call may take {spec.deadline_seconds:g} seconds and as many instances as are healthy "
        "share the calls.",
    ]
    if spec.idempotent:
        sentences.append("Its cell may be run twice for one call: a call is repeated on failure.")
    if manifest is None:
        sentences.append(NO_MANIFEST)
    return {
        "title": node.node,
        "version": node.revision[:12],
        "description": "\n\n".join(sentences),
        "x-revision": node.revision,
    }


def _call(node: Node, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> Json:
    return {
        "operationId": "execute",
        "summary": f"Run the cell of {node.node}",
        "tags": [node.node],
        "parameters": _parameters(node),
        "requestBody": {
            "required": True,
            "description": f"At most {BODY_BYTES_MAX} bytes.",
            "content": {"application/json": _content("input", "Input", inputs)},
        },
        "responses": {
            "200": {
                "description": "The cell has run.",
                "headers": _answer_headers(),
                "content": {"application/json": _content("output", "Output", outputs)},
            },
            **_problems(),
        },
    }


def _content(name: str, component: str, variables: Mapping[str, Any]) -> Json:
    schema = _object({name: {"$ref": f"#/components/schemas/{component}"}}, "")
    if not all(map(has_example, variables.values())):
        return {"schema": schema}
    example = {variable: example_of(told) for variable, told in variables.items()}
    return {"schema": schema, "example": {name: example}}


def _object(properties: Mapping[str, Any], text: str) -> Json:
    told: Json = {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }
    return {"description": text, **told} if text else told


def _parameters(node: Node) -> list[Json]:
    project = [] if node.project == DEFAULT_PROJECT else [_project(node.project)]
    return [
        *project,
        _parameter(
            REQUEST_TIMEOUT_HEADER,
            f"Seconds; lowers the node's {node.spec.deadline_seconds:g}, never raises it.",
            {"type": "string", "pattern": SECONDS_PATTERN},
            example="10",
        ),
        _parameter(
            "Idempotency-Key",
            "Running the cell twice does no harm: this call may be sent again after a failure.",
            {"type": "string"},
        ),
        _parameter(
            REQUEST_ID_HEADER,
            "Comes back in the answer and stands in every log line about the call.",
            {"type": "string"},
        ),
    ]


def _project(project: str) -> Json:
    told = _parameter(PROJECT_HEADER, "The node's project.", {"type": "string", "const": project})
    return {**told, "required": True}


def _parameter(name: str, text: str, schema: Json, **more: Any) -> Json:
    told = {"name": name, "in": "header", "required": False, "description": text, "schema": schema}
    return {**told, **more}


def _answer_headers() -> Json:
    return {
        REQUEST_ID_HEADER: {"$ref": "#/components/headers/RequestId"},
        INSTANCE_HEADER: _header("The instance that answered."),
        EXECUTION_US_HEADER: _header("How long the cell ran, in microseconds.", "^[0-9]+$"),
    }


def _header(text: str, pattern: str = "", *, required: bool = False) -> Json:
    schema = {"type": "string", **({"pattern": pattern} if pattern else {})}
    return {"description": text, "required": required, "schema": schema}


def _problems() -> dict[str, Json]:
    told = {
        status: response_of(codes, not_executed_header())
        for status, codes in by_status(PROBLEMS_OF_CALLS).items()
    }
    cell_error = {"description": "`cell`: the user's code raised.", "schema": {"const": "cell"}}
    told["500"]["headers"][ERROR_HEADER] = cell_error
    return told
