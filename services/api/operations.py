"""Operations as data: routes are made from them, and so is the OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from schemas.ids import Digest, NodeName
from schemas.views import PAGE_ITEMS, PAGE_ITEMS_MAX

Q = TypeVar("Q")
B = TypeVar("B")

JSON_TYPE = "application/json"
BYTES_TYPE = "application/octet-stream"
HTML_TYPE = "text/html"
EVENTS_TYPE = "text/event-stream"

# What may stand in a path, by the parameter's name.
PATH_PARAMETERS: dict[str, TypeAdapter[Any]] = {
    "node": TypeAdapter(NodeName),
    "name": TypeAdapter(NodeName),
    "digest": TypeAdapter(Digest),
    "sha256": TypeAdapter(Digest),
    "id": TypeAdapter(UUID),
}
# What any operation may answer beside its own problems; some of it the gateway before the api.
PROBLEMS_ANYWHERE = (
    "bad-request",
    "cross-origin",
    "unknown-host",
    "uri-too-long",
    "invalid-field",
    "headers-too-large",
    "internal-error",
    "api-unavailable",
)
# What an operation with a JSON body may answer, too.
PROBLEMS_OF_BODIES = (
    "invalid-json",
    "request-timeout",
    "request-too-large",
    "unsupported-media-type",
)

_PARAMETER = re.compile(r"\{([a-z0-9_]+)\}")


class Query(BaseModel):
    """The query parameters of an operation, as fields; a tuple's parameter may be repeated."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class PageQuery(Query):
    """Which page of a list."""

    limit: Annotated[int, Field(ge=1, le=PAGE_ITEMS_MAX, description="Items on a page.")] = (
        PAGE_ITEMS
    )
    after: Annotated[
        str, Field(max_length=512, description="`next` of the page before; empty: the first page.")
    ] = ""


@dataclass(frozen=True)
class Header:
    """A header that an operation heeds."""

    name: str
    summary: str
    pattern: str = ""


@dataclass(frozen=True)
class Answer:
    """One way in which an operation answers well."""

    status: int
    summary: str
    model: type[BaseModel] | None = None
    media_type: str = JSON_TYPE  # Without a model: of the bytes; empty where there is no body.
    headers: tuple[Header, ...] = ()


@dataclass(frozen=True)
class Call(Generic[Q, B]):
    """A request as its handler gets it: everything in it was validated."""

    request: web.Request
    project: str
    path: dict[str, str]
    query: Q  # The operation's query model, or None.
    body: B  # The operation's body model, or None; a stream is read from the request.

    @property
    def node(self) -> str:
        return self.path["node"]


Next = Callable[[web.Request], Awaitable[web.StreamResponse]]
Handler = Callable[[Call[Any, Any]], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Operation:
    """One method of one path: who answers it, and all that its document says."""

    method: str
    path: str  # As in OpenAPI: /v1/nodes/{node}:scale
    summary: str
    handler: Handler
    id: str  # Unique; the name of the operation in generated clients.
    tag: str
    answers: tuple[Answer, ...]
    query: type[Query] | None = None
    headers: tuple[Header, ...] = ()
    body: type[BaseModel] | None = None  # JSON, read and validated before the handler.
    body_type: str = ""  # Where the handler itself reads the body: its media type.
    problems: tuple[str, ...] = field(default=())  # Codes of schemas.http.PROBLEMS.
    has_project: bool = True  # Whether the header Cellnode-Project means anything here.

    @property
    def parameters(self) -> tuple[str, ...]:
        """Those of the path."""
        return tuple(_PARAMETER.findall(self.path))

    @property
    def all_problems(self) -> tuple[str, ...]:
        """Every code that it may answer, each once."""
        of_body = PROBLEMS_OF_BODIES if self.body is not None else ()
        # A parameter with a colon or a brace in it makes another path, which there is not.
        of_path = ("not-found",) if self.parameters else ()
        return tuple(dict.fromkeys((*self.problems, *of_body, *of_path, *PROBLEMS_ANYWHERE)))

    @property
    def pattern(self) -> str:
        """The path as aiohttp takes it: a parameter ends before a colon or slash."""
        return _PARAMETER.sub(r"{\1:[^/:{}]+}", self.path)
