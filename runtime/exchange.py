"""One HTTP request and its answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from runtime.interpreter.frames import trace_id_in
from schemas import http as names
from schemas.http import PROBLEM_TYPE, PROBLEMS, problem_type

if TYPE_CHECKING:
    from runtime.connection import Connection
    from runtime.spans import Span

REASONS = {
    200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed",
    408: "Request Timeout", 413: "Content Too Large", 414: "URI Too Long",
    421: "Misdirected Request", 431: "Request Header Fields Too Large",
    500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable",
    504: "Gateway Timeout",
}  # fmt: skip
STATUS_LINES = {
    status: f"HTTP/1.1 {status} {reason}\r\n".encode() for status, reason in REASONS.items()
}
NOT_EXECUTED = f"{names.NOT_EXECUTED_HEADER}: true\r\n".encode()
CELL_ERROR = f"{names.ERROR_HEADER}: cell\r\n".encode()
EXECUTION_US = f"{names.EXECUTION_US_HEADER}: ".encode()
JSON_TYPE = b"Content-Type: application/json\r\n"
PROBLEM = f"Content-Type: {PROBLEM_TYPE}\r\n".encode()
CLOSE = b"Connection: close\r\n"


class Exchange:
    """A request as it arrives, then its answer until it is its turn to be sent."""

    __slots__ = (
        "answer", "body", "chunks", "connection", "ends_at", "errors", "expects_continue",
        "instance", "is_cancelled", "keep_alive", "method", "request_id", "span", "timeout_ms",
        "traceparent", "url",
    )  # fmt: skip

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.method = b""
        self.url = b""
        self.instance = b""
        self.timeout_ms = -1
        self.errors = b""
        self.request_id = ""
        self.traceparent = b""
        self.span: Span | None = None  # Where its trace is recorded.
        self.expects_continue = False
        self.keep_alive = True
        self.body = b""
        self.chunks: list[bytes] = []
        self.ends_at = 0.0  # In the loop's time.
        self.is_cancelled = False  # Its client has gone.
        self.answer: bytes | None = None

    def respond(self, status: int, body: bytes, head: bytes = JSON_TYPE) -> None:
        """Head must be whole lines; the connection sends answers in the order of requests."""
        self.end_span(status)
        close = b"" if self.keep_alive else CLOSE
        self.answer = b"%b%b%b%bContent-Length: %d\r\n\r\n%b" % (
            STATUS_LINES[status], head, self.connection.identity, close, len(body), body,
        )  # fmt: skip
        self.connection.send_answers()

    def end_span(self, status: int) -> None:
        if self.span is not None:
            self.span.end(self.traceparent, status, self.request_id)
            self.span = None

    @property
    def trace_id(self) -> str:
        return trace_id_in(self.traceparent.decode(), self.request_id)

    def respond_json(self, status: int, document: dict[str, Any]) -> None:
        self.respond(status, json.dumps(document).encode())

    def refuse(self, code: str, detail: str, *, is_executed: bool = False, **members: str) -> None:
        """Answer with a problem; by default with the proof that nothing was executed."""
        problem = PROBLEMS[code]
        document = {
            "type": problem_type(code),
            "title": problem.title,
            "status": problem.status,
            "detail": detail,
            "code": code,
            **members,
        }
        if self.request_id:
            document["request_id"] = self.request_id
        if trace_id := self.trace_id:
            document["trace_id"] = trace_id
        head = PROBLEM if is_executed else PROBLEM + NOT_EXECUTED
        self.respond(problem.status, json.dumps(document).encode(), head)
