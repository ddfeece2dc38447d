"""One call: what a client asked for, where it stands now, and which answer it gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from schemas.http import PROBLEMS, trace_id_of
from services.gateway.problems import PROBLEM_HEADS, STATUS_LINES, problem_body, status_line

if TYPE_CHECKING:
    from services.chassis.telemetry import Step
    from services.gateway.clients import ClientConnection
    from services.gateway.endpoints import Endpoint, RoutedNode
    from services.gateway.tunnels import Tunnel
    from services.gateway.upstreams import Upstream

NEVER = float("inf")


class Call:
    """A request from its first byte to the last byte of its one answer."""

    # What holds until it is changed; an attribute costs a call only when it is set.
    method = b""
    target = b""
    body = b""
    parts: list[bytes] | None = None  # Of a body that came in several.
    size = 0  # Bytes of the body so far.
    is_held = False  # It came in parts, and counts among the bodies held in memory.
    http10 = False
    whole = False  # The last byte of the request has come.
    close = False  # The connection ends with this answer.
    refusal: tuple[str, str] | None = None  # Problem code and detail, found while reading.
    request_id = b""
    traceparent = b""  # Empty: nobody records it.
    step: Step | None = None  # Its span, where it is recorded.
    attempt_step: Step | None = None  # That of the attempt under way.
    place = ""
    node: RoutedNode | None = None
    repeatable = False  # May be executed twice: idempotent node or Idempotency-Key.
    deadline = NEVER
    endpoint: Endpoint | None = None  # Holds one of its permits.
    upstream: Upstream | None = None
    tunnel: Tunnel | None = None  # It goes to the api; its body is passed on while it comes.
    attempts = 0
    tried: tuple[Endpoint, ...] = ()  # Refused it or were lost with it.
    ended = False  # Answered, or nobody waits for the answer any more.
    status = 0
    code = ""  # Of the gateway's own problem, for the log.
    answer_bytes = 0

    def __init__(self, client: ClientConnection, started: float) -> None:
        self.client = client
        self.started = started
        self.headers: dict[bytes, bytes] = {}

    @property
    def trace_id(self) -> str:
        """For answers and log lines; a call that came without one has that of its request id."""
        return self.traceparent[3:35].decode() or trace_id_of(self.request_id)

    def answer(self, status: int, headers: bytes, body: bytes) -> None:
        """Give the whole answer at once and end the call."""
        self.status = status
        self.answer_bytes = len(body)
        if self.close or self.http10 or self.method == b"HEAD" or self.client.site.is_draining:
            head = self.head(status, headers, len(body))
            self.client.write(head if self.method == b"HEAD" else head + body)
        else:
            first = STATUS_LINES.get(status) or status_line(status)
            self.client.write(
                b"%b%bX-Request-ID: %b\r\nContent-Length: %d\r\n\r\n%b"
                % (first, headers, self.request_id, len(body), body)
            )
        self.ended = True
        self.client.finished(self)

    def refuse(self, code: str, detail: str, headers: bytes = b"") -> None:
        """Give one of the gateway's own problems as the answer."""
        self.code = code
        body = problem_body(code, detail, self.request_id.decode(), self.trace_id)
        self.answer(PROBLEMS[code].status, PROBLEM_HEADS[code] + headers, body)

    def head(self, status: int, headers: bytes, length: int | None) -> bytes:
        """Status line and headers; `length` None means that the body comes in chunks."""
        if self.client.site.is_draining:
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
        first = status_line(status)
        return b"%b%bX-Request-ID: %b\r\n%b\r\n" % (first, headers, self.request_id, framing)

    def end(self) -> None:
        """The answer is complete: the connection may go on with its next request."""
        self.ended = True
        self.client.finished(self)
