"""The documents of the api itself: OpenAPI for requests, AsyncAPI for the bus."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from hashlib import sha256
from typing import Any

from aiohttp import web

from services.api.asyncapi import document as asyncapi
from services.api.openapi import document as openapi
from services.api.operations import JSON_TYPE, Answer, Call, Header, Operation

ETAG = Header("ETag", "Changes when the document does.")
IF_NONE_MATCH = Header("If-None-Match", "The `ETag` of the document that the caller has.")
NOT_MODIFIED = Answer(304, "The caller's document is this one.", media_type="", headers=(ETAG,))


def operations(others: Sequence[Operation]) -> list[Operation]:
    """They describe the others and themselves."""
    made: list[Operation] = []

    @cache
    def described() -> bytes:
        return encoded(openapi([*others, *made]))

    @cache
    def on_the_bus() -> bytes:
        return encoded(asyncapi())

    made += [
        _operation("/openapi.json", "This document", "getOpenApi", described),
        _operation("/v1/openapi.json", "This document, beside what it is about",
                   "getOpenApiV1", described),
        _operation("/v1/asyncapi.json", "The topics and messages of the bus, as AsyncAPI 3.0",
                   "getAsyncApi", on_the_bus),
    ]  # fmt: skip
    return made


def _operation(path: str, summary: str, id: str, body: Callable[[], bytes]) -> Operation:
    async def handler(call: Call[None, None]) -> web.Response:
        return document_answer(call.request, body())

    return Operation(
        "GET",
        path,
        summary,
        handler,
        id=id,
        tag="documents",
        answers=(Answer(200, "The document", headers=(ETAG,)), NOT_MODIFIED),
        headers=(IF_NONE_MATCH,),
        has_project=False,
    )


def encoded(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def document_answer(
    request: web.Request,
    body: bytes,
    *,
    media_type: str = JSON_TYPE,
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    """The document, or 304 where the caller has it already."""
    tag = f'"{sha256(body).hexdigest()[:32]}"'
    given = request.headers.get("If-None-Match", "")
    sent = {"ETag": tag, "Cache-Control": "no-cache", **(headers or {})}
    if given.strip() == "*" or tag in [one.strip().removeprefix("W/") for one in given.split(",")]:
        return web.Response(status=304, headers=sent)
    charset = None if media_type == JSON_TYPE else "utf-8"
    return web.Response(body=body, content_type=media_type, charset=charset, headers=sent)
