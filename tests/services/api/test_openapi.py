"""The api's own documents: whole, valid, true to the routes, made without a running service."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from openapi_spec_validator import validate
from pydantic import BaseModel

from services.api import asyncapi
from services.api.app import application, operations
from services.api.openapi_examples import EXAMPLES
from services.api.written import unconnected, written

OF_OPERATORS = {"/livez", "/readyz", "/metrics"}


@pytest.fixture(scope="module")
def openapi() -> dict[str, Any]:
    return written()


@pytest.fixture
async def client() -> AsyncIterator[TestClient[web.Request, web.Application]]:
    """The api's routes before nothing: documents need neither Kafka nor Redis."""
    parts = unconnected()
    async with TestClient(TestServer(application(parts, operations(parts)))) as made:
        yield made


def described(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def resolved(document: Any, part: dict[str, Any]) -> dict[str, Any]:
    for name in part["$ref"].split("/")[1:] if "$ref" in part else ():
        document = document[name]
    return document if "$ref" in part else part


def found_at(document: Any, reference: str) -> bool:
    for name in reference.removeprefix("#/").split("/"):
        if name not in document:
            return False
        document = document[name]
    return True


def test_the_document_is_valid_openapi(openapi: dict[str, Any]) -> None:
    validate(openapi)

    assert openapi["openapi"].startswith("3.1")


async def test_every_route_is_in_the_document_and_nothing_else_is(openapi: dict[str, Any]) -> None:
    parts = unconnected()
    routes = application(parts, operations(parts)).router.routes()
    known = {
        (route.method, route.resource.canonical)
        for route in routes
        if route.resource is not None and route.resource.canonical not in OF_OPERATORS
    }

    assert known == {(method, path) for method, path, _ in described(openapi)}


def test_every_operation_can_be_named_in_a_program(openapi: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, _, operation in described(openapi)]

    assert len(set(ids)) == len(ids)
    assert [id for id in ids if not re.fullmatch(r"[a-z][A-Za-z0-9]+", id)] == []


def test_every_reference_leads_somewhere(openapi: dict[str, Any]) -> None:
    for document in (openapi, asyncapi.document()):
        assert [one for one in references(document) if not found_at(document, one)] == []


def test_every_answer_tells_the_request_id_and_every_problem_its_codes(
    openapi: dict[str, Any],
) -> None:
    for method, path, operation in described(openapi):
        for status, told in operation["responses"].items():
            answer = resolved(openapi, told)
            assert "X-Request-ID" in answer["headers"], (method, path, status)
            is_problem = "application/problem+json" in answer.get("content", {})
            assert is_problem is (int(status) >= 400), (method, path, status)


def test_every_example_is_what_its_model_takes(openapi: dict[str, Any]) -> None:
    models = {kind.__name__: kind for kind in BaseModel.__subclasses__()}
    for kind in list(models.values()):
        models.update({child.__name__: child for child in kind.__subclasses__()})
        for child in kind.__subclasses__():
            models.update({each.__name__: each for each in child.__subclasses__()})

    for name, example in EXAMPLES.items():
        models[name].model_validate_json(json.dumps(example))
        schema = {"$ref": f"#/components/schemas/{name}", "components": openapi["components"]}
        if name in openapi["components"]["schemas"]:
            Draft202012Validator(schema).validate(example)


def test_fields_are_explained(openapi: dict[str, Any]) -> None:
    fields = openapi["components"]["schemas"]["NodeStatusChanged"]["properties"]

    assert fields["healthy"]["description"] == "All healthy instances."
    assert "term" not in fields


@pytest.mark.parametrize(
    "path", ["/openapi.json", "/asyncapi.json", "/v1/openapi.json", "/v1/asyncapi.json"]
)
async def test_a_document_that_the_caller_has_is_not_sent_again(
    client: TestClient[web.Request, web.Application], path: str
) -> None:
    first = await client.get(path)
    document = await first.json()
    again = await client.get(path, headers={"If-None-Match": first.headers["ETag"]})

    assert (first.status, again.status, await again.text()) == (200, 304, "")
    assert document == (asyncapi.document() if "async" in path else written())
