"""The trace of each call: its context is taken or made; spans are made only to be exported."""

from __future__ import annotations

import re

from services.chassis.telemetry import Trace, begin_step
from services.gateway.calls import Call

ROUTE = "/v1/nodes/{node}:execute"
_TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Tracing:
    """Contexts of calls. One that brings none, and is not recorded, has its request's id alone."""

    def __init__(self, *, exports: bool) -> None:
        self.exports = exports

    def take(self, call: Call) -> None:
        """Go on with the caller's trace."""
        given = call.headers.get(b"traceparent")
        if given is not None and _TRACEPARENT.fullmatch(given):
            call.traceparent = given

    def begin(self, call: Call, route: str = "") -> None:
        """The span of a call that is exported, if its trace is to be recorded."""
        if not self.exports:
            return
        method = call.method.decode("ascii", "replace")
        told = {
            "http.request.method": method,
            "url.path": call.target.partition(b"?")[0][:200].decode("ascii", "backslashreplace"),
            "url.scheme": "http",
            "cellnode.request_id": call.request_id.decode(),
            **({"http.route": route} if route else {}),
        }
        name = f"{method} {route}".rstrip()
        step = begin_step(name, told, kind="server", parent=_parent(call))
        call.traceparent = step.traceparent.encode()
        if step.is_recorded:
            call.step = step


def traceparent_of(call: Call) -> bytes:
    """For the api; of a trace that nobody recorded so far, not sampled."""
    if call.traceparent:
        return call.traceparent
    trace_id = call.trace_id
    return f"00-{trace_id}-{trace_id[:16]}-00".encode()


def tracestate_of(call: Call) -> bytes:
    """The caller's, as long as its trace is gone on with."""
    headers = call.headers
    given = headers.get(b"traceparent", b"")
    return headers.get(b"tracestate", b"") if given[3:35] == call.traceparent[3:35] else b""


def begin_attempt(call: Call, instance: str) -> bytes:
    """The context that goes on to the instance, as a line."""
    if call.step is None:
        return b"traceparent: %b\r\n" % call.traceparent
    told: dict[str, str | int] = {
        "http.request.method": "POST",
        "http.request.resend_count": call.attempts - 1,
        "cellnode.instance": instance,
    }
    parent = {"traceparent": call.step.traceparent}
    attempt = begin_step("POST /execute", told, kind="client", parent=parent)
    call.attempt_step = attempt
    return b"traceparent: %b\r\n" % attempt.traceparent.encode()


def end_attempt(call: Call, *, status: int = 0, error: str = "") -> None:
    step, call.attempt_step = call.attempt_step, None
    if step is not None:
        told = {"http.response.status_code": status} if status else {}
        step.end(told, error=error or (str(status) if status >= 400 else ""))


def end_call(call: Call) -> None:
    step, call.step = call.step, None
    end_attempt(call, error="abandoned")
    if step is not None:
        told: dict[str, str | int] = {
            "http.response.status_code": call.status,
            "http.response.body.size": call.answer_bytes,
            "cellnode.attempts": call.attempts,
            "cellnode.node": call.place,
        }
        step.end(told, error=(call.code or str(call.status)) if call.status >= 500 else "")


def _parent(call: Call) -> Trace | None:
    given = call.headers.get(b"traceparent", b"")
    if not given or given != call.traceparent:
        return None
    state = tracestate_of(call).decode("latin-1")
    return {"traceparent": given.decode(), **({"tracestate": state} if state else {})}
