"""One call: what a client asked for, where it stands now, and which answer it gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.http import PROBLEMS
from services.gateway.problems import PROBLEM_HEADS, problem_body, status_line

if TYPE_CHECKING:
    from services.gateway.clients import ClientConnection
    from services.gateway.endpoints import Endpoint, RoutedNode
    from services.gateway.upstreams import Upstream

NEVER = float("inf")


class Call:
    """A request from its first byte to the last byte of its one answer."""

    __slots__ = (
        "answer_bytes",
        "attempts",
        "body",
        "client",
        "close",
        "code",
        "deadline",
        "ended",
        "endpoint",
        "headers",
        "http10",
        "method",
        "node",
        "parts",
        "place",
        "refusal",
        "repeatable",
        "request_id",
        "size",
        "started",
        "status",
        "target",
        "tried",
        "upstream",
        "whole",
    )  # fmt: skip

    def __init__(self, client: ClientConnection, started: float) -> None:
        self.client = client
        self.started = started
        self.method = b""
        self.target = b""
        self.headers: dict[bytes, bytes] = {}
        self.parts: list[bytes] = []
        self.size = 0  # Bytes of the body so far.
        self.body = b""
        self.http10 = False
        self.whole = False  # The last byte of the request has come.
        self.close = False  # The connection ends with this answer.
        self.refusal: tuple[str, str] | None = None  # Problem code and detail, found while reading.
        self.request_id = ""
        self.place = ""
        self.node: RoutedNode | None = None
        self.repeatable = False  # May be executed twice: idempotent node or Idempotency-Key.
        self.deadline = NEVER
        self.endpoint: Endpoint | None = None  # Holds one of its permits.
        self.upstream: Upstream | None = None
        self.attempts = 0
        self.tried: tuple[Endpoint, ...] = ()  # Refused it or were lost with it.
        self.ended = False  # Answered, or nobody waits for the answer any more.
        self.status = 0
        self.code = ""  # Of the gateway's own problem, for the log.
        self.answer_bytes = 0

    def answer(self, status: int, headers: bytes, body: bytes) -> None:
        """Give the whole answer at once and end the call."""
        self.status = status
        self.answer_bytes = len(body)
        shown = b"" if self.method == b"HEAD" else body
        self.client.write(self.head(status, headers, len(body)) + shown)
        self.end()

    def refuse(self, code: str, detail: str, headers: bytes = b"") -> None:
        """Give one of the gateway's own problems as the answer."""
        self.code = code
        body = problem_body(code, detail, self.request_id)
        self.answer(PROBLEMS[code].status, PROBLEM_HEADS[code] + headers, body)

    def head(self, status: int, headers: bytes, length: int | None) -> bytes:
        """Status line and headers; `length` None means that the body comes in chunks."""
        if self.client.is_draining:
            self.close = True
        if length is not None:
            framing = b"Content-Length: %d\r\n" % length
        elif self.http10:
            framing, self.close = b"", True
        else:
            framing = b"Transfer-Encoding: chunked\r\n"
        if self.close:
            framing += b"Connection: close\r\n"
        elif self.http10:
            framing += b"Connection: keep-alive\r\n"
        request_id = self.request_id.encode()
        return b"%b%bX-Request-ID: %b\r\n%b\r\n" % (
            status_line(status),
            headers,
            request_id,
            framing,
        )

    def end(self) -> None:
        """The answer is complete: the connection may go on with its next request."""
        self.ended = True
        self.client.finished(self)
