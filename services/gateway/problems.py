"""Answers in bytes: status lines, problem details and the gateway's own small documents."""

from __future__ import annotations

import json
from http import HTTPStatus

from schemas.http import NOT_EXECUTED_HEADER, PROBLEM_TYPE, PROBLEMS, problem_type

STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
RETRY_AFTER_SECONDS = 1
# A call that gets one of these may come again soon.
_RETRY_SOON = frozenset({"starting", "no-healthy-instance", "queue-full"})
# A call that gets one of these has reached no interpreter.
_NOT_EXECUTED = frozenset(
    {*_RETRY_SOON, "node-suspended", "node-unknown", "node-deleting", "request-too-large"}
)
# What mends it, where the caller or the node's owner can do something.
_REMEDIES = {
    "node-suspended": "resume it: `cellnode resume`, `:resume` over HTTP, or ResumeNode on the bus"
}


def status_line(status: int) -> bytes:
    """The first line of an answer; a status without a name gets an empty phrase."""
    return STATUS_LINES.get(status) or f"HTTP/1.1 {status} \r\n".encode()


def problem_head(code: str) -> bytes:
    """The headers that belong to this kind of problem, each with its line end."""
    head = f"Content-Type: {PROBLEM_TYPE}\r\n"
    if code in _RETRY_SOON:
        head += f"Retry-After: {RETRY_AFTER_SECONDS}\r\n"
    if code in _NOT_EXECUTED:
        head += f"{NOT_EXECUTED_HEADER}: true\r\n"
    return head.encode()


def problem_body(code: str, detail: str, request_id: str, trace_id: str) -> bytes:
    """Problem details (RFC 9457) for one of `schemas.http.PROBLEMS`."""
    status, title = PROBLEMS[code]
    members = {
        "type": problem_type(code),
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
        "trace_id": trace_id,
    }
    if code in _REMEDIES:
        members["remedy"] = _REMEDIES[code]
    return json.dumps(members).encode()


PROBLEM_HEADS = {code: problem_head(code) for code in PROBLEMS}
