"""The documents of the api itself: OpenAPI for requests, AsyncAPI and a page for the bus."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from hashlib import sha256
from typing import Any

from aiohttp import web

from services.api.asyncapi import document as asyncapi
from services.api.openapi import document as openapi
from services.api.operations import HTML_TYPE, JSON_TYPE, Answer, Call, Header, Operation
from services.api.pages import headers, page

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
        _operation("/asyncapi.json", "The topics and messages of the bus, as AsyncAPI 3.0",
                   "getAsyncApi", on_the_bus),
        _operation("/v1/asyncapi.json", "The topics and messages of the bus, beside the rest",
                   "getAsyncApiV1", on_the_bus),
        _operation("/asyncapi", "A page to look a topic or a message up",
                   "getAsyncApiPage", partial(page, "bus"), of_page="bus"),
    ]  # fmt: skip
    return made


def _operation(
    path: str, summary: str, id: str, body: Callable[[], bytes], *, of_page: str = ""
) -> Operation:
    media_type, told = (HTML_TYPE, "The page") if of_page else (JSON_TYPE, "The document")

    async def handler(call: Call[None, None]) -> web.Response:
        sent = headers(of_page) if of_page else None
        made = await asyncio.to_thread(body)  # The first time it takes a moment.
        return document_answer(call.request, made, media_type=media_type, headers=sent)

    return Operation(
        "GET",
        path,
        summary,
        handler,
        id=id,
        tag="documents",
        answers=(Answer(200, told, media_type=media_type, headers=(ETAG,)), NOT_MODIFIED),
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
