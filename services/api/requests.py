"""From HTTP to a validated Call: project, path, query and JSON body; faults name the field."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, TypeAdapter, ValidationError

from schemas.commands import invalid_field
from schemas.errors import said
from schemas.http import PROJECT_HEADER
from schemas.ids import DEFAULT_PROJECT, ProjectName
from services.api.operations import JSON_TYPE, PATH_PARAMETERS, Call, Next, Operation, Query
from services.api.problems import OPERATION, ApiProblem

JSON_BYTES_MAX = 4 * 1024 * 1024  # Every command and list that may be sent fits in it.
NO_BODY_BYTES_MAX = 1024  # Of a body where none is taken: enough to see that it says nothing.
T = TypeVar("T")
_PROJECT: TypeAdapter[str] = TypeAdapter(ProjectName)


def answering(operation: Operation, body_seconds_max: float) -> Next:
    """The aiohttp handler of an operation."""

    async def answer(request: web.Request) -> web.StreamResponse:
        request[OPERATION] = operation.id
        call = Call(
            request=request,
            project=_project(request),
            path=_path(request),
            query=_query(request, operation.query),
            body=await _body(request, operation, body_seconds_max),
        )
        return await operation.handler(call)

    return answer


def json_answer(
    model: BaseModel, status: int = 200, headers: dict[str, str] | None = None
) -> web.Response:
    """A view as the answer."""
    body = model.model_dump_json(by_alias=True).encode()
    return web.Response(status=status, body=body, content_type=JSON_TYPE, headers=headers)


def next_page(request: web.Request, after: str) -> str:
    """The header Link to the page that begins after this."""
    target = request.rel_url.update_query(after=after)
    return f'<{target}>; rel="next"'


def _project(request: web.Request) -> str:
    given = request.headers.get(PROJECT_HEADER, DEFAULT_PROJECT)
    return _checked(lambda: _PROJECT.validate_python(given), PROJECT_HEADER)


def _path(request: web.Request) -> dict[str, str]:
    found = {}
    for name, value in request.match_info.items():
        _checked(lambda n=name, v=value: PATH_PARAMETERS[n].validate_python(v), name)  # type: ignore[misc]
        found[name] = value
    return found


def _query(request: web.Request, model: type[Query] | None) -> Query | None:
    known = {} if model is None else {f.alias or n: f for n, f in model.model_fields.items()}
    values: dict[str, Any] = {}
    for name in request.query:
        given = request.query.getall(name)
        if name not in known:
            raise ApiProblem(
                "invalid-field",
                f"{name}: there is no such query parameter here",
                field=name,
                remedy=f"use {', '.join(known)}" if known else "leave the query out",
            )
        is_many = str(known[name].annotation).startswith("tuple")
        if not is_many and len(given) > 1:
            raise ApiProblem(
                "invalid-field", f"{name}: given more than once", field=name, remedy="say it once"
            )
        values[name] = tuple(given) if is_many else given[0]
    return None if model is None else _checked(lambda: model.model_validate(values), "query")


async def _body(request: web.Request, operation: Operation, seconds_max: float) -> BaseModel | None:
    model = operation.body
    if operation.body_type:
        return None
    if model is None:
        await _nothing(request, seconds_max)
        return None
    if request.content_type != JSON_TYPE:
        raise ApiProblem(
            "unsupported-media-type",
            f"{request.content_type} is not taken here",
            remedy=f"send JSON with Content-Type: {JSON_TYPE}",
        )
    data = await read_within(request, JSON_BYTES_MAX, seconds_max)
    return parsed(model, data)


def parsed(model: type[BaseModel], data: bytes) -> BaseModel:
    """The body, or a problem that names the field."""
    return _checked(lambda: _parsed(model, data), "body")


def _parsed(model: type[BaseModel], data: bytes) -> BaseModel:
    """What the document says and no more: a text is no number. As in JSON, 3.0 is an integer."""
    try:
        return model.model_validate_json(data, strict=True)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        if not any(one["type"] == "int_type" and type(one["input"]) is float for one in faults):
            raise
    plain = json.dumps(json.loads(data, parse_float=_whole_if_it_is))
    return model.model_validate_json(plain, strict=True)


def _whole_if_it_is(text: str) -> float | int:
    value = float(text)
    return int(value) if value.is_integer() else value


async def read_within(request: web.Request, bytes_max: int, seconds_max: float) -> bytes:
    """The whole body, or a problem where it is too long in bytes or in time."""
    if (request.content_length or 0) > bytes_max:
        raise _too_large(bytes_max)
    try:
        async with asyncio.timeout(seconds_max):
            return await _read(request, bytes_max)
    except TimeoutError:
        raise ApiProblem(
            "request-timeout", f"the body did not arrive within {seconds_max:g} s"
        ) from None


async def _read(request: web.Request, bytes_max: int) -> bytes:
    data = bytearray()
    async for chunk in request.content.iter_any():
        data += chunk
        if len(data) > bytes_max:
            raise _too_large(bytes_max)
    return bytes(data)


def _too_large(bytes_max: int) -> ApiProblem:
    return ApiProblem("request-too-large", f"the body is larger than {bytes_max} bytes")


async def _nothing(request: web.Request, seconds_max: float) -> None:
    """A body that is ignored in silence would deceive its sender."""
    if not request.can_read_body:
        return
    data = await read_within(request, NO_BODY_BYTES_MAX, seconds_max)
    if data.strip() not in (b"", b"{}"):
        raise ApiProblem(
            "invalid-field", "a body is not taken here", field="body", remedy="leave the body out"
        )


def _checked(validate: Callable[[], T], whole: str) -> T:
    """What pydantic says, as a problem; `whole` is the field where it names none."""
    try:
        return validate()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == "json_invalid":
            raise ApiProblem(
                "invalid-json", first["msg"], remedy="send one JSON object in UTF-8"
            ) from None
        if not first["loc"]:
            sentence, remedy = f"{whole}: {said(first['msg'])}", f"correct the value ({whole})"
            raise ApiProblem("invalid-field", sentence, field=whole, remedy=remedy) from None
        fault = invalid_field(error)
        raise ApiProblem(
            "invalid-field", fault.sentence, field=fault.field, remedy=fault.remedy
        ) from None
