"""The OpenAPI document of the api, made from its operations; pure, no service need run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from schemas.http import PROJECT_HEADER, REQUEST_ID_HEADER
from services.api.openapi_examples import EXAMPLES, PATH_EXAMPLES
from services.api.openapi_models import Models
from services.api.openapi_problems import by_status, response_name, response_of
from services.api.openapi_texts import DESCRIPTION, EVENT_KINDS, EVENT_MODELS, PATH_TEXTS, TAGS
from services.api.operations import (
    EVENTS_TYPE,
    JSON_TYPE,
    PATH_PARAMETERS,
    Answer,
    Header,
    Operation,
)

OPENAPI_VERSION = "3.1.0"
API_VERSION = "1"
Json = dict[str, Any]


def document(operations: Iterable[Operation]) -> Json:
    """Every operation, with its parameters, bodies, answers and problems."""
    described = sorted(operations, key=lambda one: (one.path, one.method))
    _must_differ(described)
    models = Models()
    for one in described:
        models.add_operation(one)
    for event in EVENT_MODELS:
        models.add_answer(event)
    paths: dict[str, Json] = {}
    for one in described:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, models)
    made = {
        "openapi": OPENAPI_VERSION,
        "info": {"title": "cellnode", "version": API_VERSION, "description": DESCRIPTION.strip()},
        "servers": [{"url": "/"}],
        "security": [],
        "tags": _tags(described),
        "paths": paths,
        "components": {
            "schemas": models.components(),
            "parameters": {"Project": _project(), "RequestId": _request_id()},
            "headers": {"RequestId": _request_id_header()},
            "responses": _problems(described),
        },
    }
    plain: Json = json.loads(json.dumps(made))  # Names of headers may be texts of another kind.
    return plain


def _problems(operations: Sequence[Operation]) -> Json:
    """The problem answers of all operations, each mix of codes once."""
    mixes = {
        response_name(codes): codes
        for one in operations
        for codes in by_status(one.all_problems).values()
    }
    return {name: response_of(mixes[name]) for name in sorted(mixes)}


def _must_differ(operations: Sequence[Operation]) -> None:
    repeated = [id for id, count in Counter(one.id for one in operations).items() if count > 1]
    if repeated:
        raise ValueError(f"operations share the id {', '.join(repeated)}")


def _tags(operations: Sequence[Operation]) -> list[Json]:
    used = {one.tag for one in operations}
    told = [{"name": tag, "description": text} for tag, text in TAGS.items() if tag in used]
    return told + [{"name": tag} for tag in sorted(used - TAGS.keys())]


def _operation(one: Operation, models: Models) -> Json:
    told: Json = {
        "operationId": one.id,
        "summary": one.summary,
        "tags": [one.tag],
        "parameters": _parameters(one, models),
        "responses": {
            **_answers(one.answers, models),
            **{
                status: {"$ref": f"#/components/responses/{response_name(codes)}"}
                for status, codes in by_status(one.all_problems).items()
            },
        },
    }
    if body := _body(one, models):
        told["requestBody"] = body
    return told


# Parameters.


def _parameters(one: Operation, models: Models) -> list[Json]:
    told = [_path_parameter(name) for name in one.parameters]
    told += _query_parameters(one, models)
    told += [_header_parameter(header) for header in one.headers]
    if one.has_project:
        told.append({"$ref": "#/components/parameters/Project"})
    return [*told, {"$ref": "#/components/parameters/RequestId"}]


def _path_parameter(name: str) -> Json:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": PATH_TEXTS[name],
        "schema": PATH_PARAMETERS[name].json_schema(),
        "example": PATH_EXAMPLES[name],
    }


def _query_parameters(one: Operation, models: Models) -> list[Json]:
    if one.query is None:
        return []
    schema = models.query(one.query)
    required = schema.get("required", [])
    return [
        _query_parameter(name, dict(part), name in required)
        for name, part in schema.get("properties", {}).items()
    ]


def _query_parameter(name: str, schema: Json, is_required: bool) -> Json:
    text = schema.pop("description", "")
    schema = _without_null(schema)
    told = {"name": name, "in": "query", "required": is_required, "schema": schema}
    return {**told, "description": text} if text else told


def _without_null(schema: Json) -> Json:
    """A query has no null: what may be absent is left out."""
    kinds = [one for one in schema.get("anyOf", []) if one.get("type") != "null"]
    if not kinds:
        return schema
    rest = {name: part for name, part in schema.items() if name not in ("anyOf", "default")}
    return {**rest, **kinds[0]} if len(kinds) == 1 else {**rest, "anyOf": kinds}


def _header_parameter(header: Header) -> Json:
    schema: Json = {"type": "string"}
    if header.pattern:
        schema["pattern"] = header.pattern
    return {
        "name": header.name,
        "in": "header",
        "required": False,
        "description": header.summary,
        "schema": schema,
    }


def _project() -> Json:
    return {
        "name": PROJECT_HEADER,
        "in": "header",
        "required": False,
        "description": "The project; `default` without it.",
        "schema": {**PATH_PARAMETERS["node"].json_schema(), "default": "default"},
    }


def _request_id() -> Json:
    return {
        "name": REQUEST_ID_HEADER,
        "in": "header",
        "required": False,
        "description": "Comes back in the answer and stands in every log line about it.",
        "schema": {"type": "string"},
    }


def _request_id_header() -> Json:
    return {
        "description": "The request's id: the caller's, if it is well-formed, or one made up.",
        "required": True,
        "schema": {"type": "string"},
    }


# Bodies and answers.


def _body(one: Operation, models: Models) -> Json | None:
    if one.body is not None:
        content: Json = {"schema": models.body(one.body)}
        if one.body.__name__ in EXAMPLES:
            content["example"] = EXAMPLES[one.body.__name__]
        return {"required": True, "content": {JSON_TYPE: content}}
    if one.body_type:
        # JSON that the handler reads as bytes is still JSON to whoever sends it.
        schema = {"type": "object"} if one.body_type == JSON_TYPE else {}
        return {"required": True, "content": {one.body_type: {"schema": schema}}}
    return None


def _answers(answers: Sequence[Answer], models: Models) -> Json:
    """Answers of one status, in several media types, are one response."""
    told: dict[str, Json] = {}
    for answer in answers:
        response = told.setdefault(str(answer.status), _response(answer))
        if answer.model is not None or answer.media_type:
            content = response.setdefault("content", {})
            content[answer.media_type or JSON_TYPE] = _content(answer, models)
    return told


def _response(answer: Answer) -> Json:
    headers: Json = {
        header.name: {
            "description": header.summary,
            "schema": {"type": "string", **({"pattern": header.pattern} if header.pattern else {})},
        }
        for header in answer.headers
    }
    headers[REQUEST_ID_HEADER] = {"$ref": "#/components/headers/RequestId"}
    return {"description": answer.summary, "headers": headers}


def _content(answer: Answer, models: Models) -> Json:
    if answer.model is not None:
        content: Json = {"schema": models.answer(answer.model)}
        if answer.model.__name__ in EXAMPLES:
            content["example"] = EXAMPLES[answer.model.__name__]
        return content
    if answer.media_type == JSON_TYPE:
        return {"schema": {"type": "object"}}
    if answer.media_type == EVENTS_TYPE:
        return _events(models)
    return {"schema": {"type": "string"}} if answer.media_type.startswith("text/") else {}


def _events(models: Models) -> Json:
    """The schema is that of one event; what its data is, when it is read as JSON, stands beside."""
    data = {"oneOf": [models.answer(event) for event in EVENT_MODELS]}
    event: Json = {
        "type": "object",
        "properties": {
            "id": {"type": "string", "description": "Send it as Last-Event-ID to go on after it."},
            "event": {"type": "string", "enum": list(EVENT_KINDS)},
            "data": {"type": "string", "contentMediaType": JSON_TYPE},
            "retry": {"type": ["string", "integer"], "description": "Milliseconds."},
        },
        "required": ["event", "data"],
    }
    return {"schema": event, "x-event-data": data}
