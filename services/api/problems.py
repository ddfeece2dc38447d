"""Every error is a problem answer (RFC 9457) with a code, a request id and a trace id."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

from aiohttp import hdrs, web

from schemas.errors import BusUnavailable, DomainError, Error, StoreUnavailable
from schemas.http import PROBLEM_TYPE, PROBLEMS, REQUEST_ID_HEADER, problem_type
from schemas.views import ProblemView
from services.api.measures import NOTHING, Measures
from services.chassis.clock import Clock
from services.chassis.telemetry import bound, logger, span, trace_headers

REQUEST_ID = web.RequestKey("request_id", str)
OPERATION = web.RequestKey("operation", str)  # Its id, where the path has one.
RETRY_AFTER_SECONDS = 1
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_CODES_OF_HTTP = {
    400: "bad-request",
    404: "not-found",
    405: "method-not-allowed",
    408: "request-timeout",
    411: "length-required",
    413: "request-too-large",
    414: "uri-too-long",
    415: "unsupported-media-type",
}

Next = Callable[[web.Request], Awaitable[web.StreamResponse]]

log = logger("api.problems")


class ApiProblem(Error):
    """Raise it anywhere in a handler: it becomes the answer.

    `members` are further members of the problem, such as `missing` or `received_bytes`.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        field: str | None = None,
        remedy: str | None = None,
        command: UUID | None = None,
        headers: Mapping[str, str] | None = None,
        **members: Any,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.field = field
        self.remedy = remedy
        self.command = command
        self.headers = dict(headers or {})
        self.members = members

    def view(self, request_id: str, trace_id: str | None) -> ProblemView:
        status, title = PROBLEMS[self.code]
        return ProblemView(
            type=problem_type(self.code),
            title=title,
            status=status,
            detail=self.detail,
            code=self.code,
            field=self.field,
            remedy=self.remedy,
            request_id=request_id,
            trace_id=trace_id,
            command=self.command,
            **self.members,
        )


def problem_answer(problem: ApiProblem, request_id: str) -> web.Response:
    view = problem.view(request_id, trace_id())
    headers = dict(problem.headers)
    if view.status == 503:
        headers.setdefault(hdrs.RETRY_AFTER, str(RETRY_AFTER_SECONDS))
    return web.Response(
        status=view.status,
        body=view.model_dump_json(exclude_none=True).encode(),
        content_type=PROBLEM_TYPE,
        headers=headers,
    )


def trace_id() -> str | None:
    """Of the trace under way, in hex."""
    parts = trace_headers().get("traceparent", "").split("-")
    return parts[1] if len(parts) == 4 else None


def request_id_of(request: web.Request) -> str:
    """Set by the middleware on every request."""
    return request[REQUEST_ID]


def problem_middleware(clock: Clock, measures: Measures) -> Any:
    """Around everything: the request's id and trace, and the answer to whatever is raised."""

    @web.middleware
    async def middle(request: web.Request, handler: Next) -> web.StreamResponse:
        begun = clock.monotonic()
        answer = await answered(request, handler)
        seconds = clock.monotonic() - begun if isinstance(answer, web.Response) else None
        measures.answered(request.get(OPERATION) or NOTHING, answer.status, seconds)
        return answer

    async def answered(request: web.Request, handler: Next) -> web.StreamResponse:
        request_id = request[REQUEST_ID] = _given_id(request) or clock.token()
        told = {"http.request.method": request.method, "url.path": request.path}
        step = span(request.method, _trace_of(request), told, kind="server")
        with step, bound(request_id=request_id):
            try:
                return await handler(request)
            except web.HTTPException as answer:
                if answer.status < 400:
                    raise
                return problem_answer(_of_http(answer, request), request_id)
            except Exception as error:
                return problem_answer(_of_error(error, request), request_id)

    return middle


async def add_request_id(request: web.Request, response: web.StreamResponse) -> None:
    """For aiohttp's `on_response_prepare`: streams have the header, too."""
    if REQUEST_ID in request:
        response.headers[REQUEST_ID_HEADER] = request_id_of(request)


def _given_id(request: web.Request) -> str | None:
    given = request.headers.get(REQUEST_ID_HEADER, "")
    return given if _REQUEST_ID.fullmatch(given) else None


def _trace_of(request: web.Request) -> dict[str, str]:
    names = ("traceparent", "tracestate")
    return {name: request.headers[name] for name in names if name in request.headers}


def _of_http(answer: web.HTTPException, request: web.Request) -> ApiProblem:
    """What aiohttp itself refuses."""
    code = _CODES_OF_HTTP.get(answer.status, "internal-error")
    allow = answer.headers.get(hdrs.ALLOW)
    details = {
        "not-found": f"there is nothing at {request.path}",
        "method-not-allowed": f"{request.method} is not allowed at {request.path}",
    }
    return ApiProblem(
        code,
        details.get(code, answer.text or answer.reason),
        remedy="see /openapi.json for what there is" if code in details else None,
        headers={hdrs.ALLOW: allow} if allow else None,
    )


def _of_error(error: Exception, request: web.Request) -> ApiProblem:
    if isinstance(error, ApiProblem):
        return error
    if isinstance(error, BusUnavailable):
        return ApiProblem("bus-unavailable", str(error), remedy="try again soon")
    if isinstance(error, StoreUnavailable):
        return ApiProblem("projection-unavailable", str(error), remedy="try again soon")
    if isinstance(error, DomainError):
        return ApiProblem(
            "invalid-field", error.sentence, field=error.field, remedy=error.remedy or None
        )
    log.exception("request failed", method=request.method, path=request.path)
    return ApiProblem("internal-error", f"{type(error).__name__} while answering")
