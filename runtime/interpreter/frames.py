"""Length-prefixed frames between the agent and an interpreter; both sides import this file."""

from __future__ import annotations

import json
import struct
from socket import recv_fds, socket
from typing import Any, NamedTuple, Protocol

# body bytes, milliseconds left, flags, bytes of the ids; then the request's id and, behind a blank,
# its traceparent; then the body.
REQUEST = struct.Struct("!IIBB")
# body bytes, microseconds it took, HTTP status, flags; then the body.
RESPONSE = struct.Struct("!IIHB")
FULL_ERRORS = 1  # Flag of a request: tracebacks may be told.
CELL_ERROR = 1  # Flag of a response: an exception of the user's code.
REQUEST_ID_BYTES_MAX = 128
TRACEPARENT_BYTES_MAX = 55
CONTROL = struct.Struct("!I")
CONTROL_BYTES_MAX = 4 * 1024 * 1024


class Reader(Protocol):
    """A buffered file: reads all that is asked for, less only at the end."""

    def read(self, size: int, /) -> bytes: ...


class Request(NamedTuple):
    body: bytes
    timeout_ms: int
    full_errors: bool
    request_id: str
    traceparent: str = ""


class Response(NamedTuple):
    body: bytes
    execution_us: int
    status: int
    is_cell_error: bool


def pack_request(request: Request) -> bytes:
    request_id = request.request_id.encode("latin-1")[:REQUEST_ID_BYTES_MAX]
    if request.traceparent:
        request_id += b" " + request.traceparent.encode("latin-1")[:TRACEPARENT_BYTES_MAX]
    flags = FULL_ERRORS if request.full_errors else 0
    head = REQUEST.pack(len(request.body), request.timeout_ms, flags, len(request_id))
    return head + request_id + request.body


def read_request(file: Reader) -> Request | None:
    """The next request; None when the agent has closed its end."""
    head = file.read(REQUEST.size)
    if len(head) < REQUEST.size:
        return None
    body_bytes, timeout_ms, flags, id_bytes = REQUEST.unpack(head)
    ids = file.read(id_bytes).decode("latin-1") if id_bytes else ""
    body = file.read(body_bytes)
    if len(body) < body_bytes:
        return None
    request_id, _, traceparent = ids.partition(" ")
    return Request(body, timeout_ms, bool(flags & FULL_ERRORS), request_id, traceparent)


def trace_id_in(traceparent: str, request_id: str) -> str:
    """Of a request; one that came without a trace has the end of its own id, in hex."""
    if traceparent or not request_id:
        return traceparent[3:35]
    return request_id.encode("latin-1")[-16:].hex().zfill(32)


def pack_response(response: Response) -> bytes:
    flags = CELL_ERROR if response.is_cell_error else 0
    execution_us = min(response.execution_us, 0xFFFFFFFF)
    return RESPONSE.pack(len(response.body), execution_us, response.status, flags) + response.body


def pack_control(message: dict[str, Any]) -> bytes:
    raw = json.dumps(message).encode()
    return CONTROL.pack(len(raw)) + raw


class Control:
    """The loader's end of the channel on which it is told what to do, and tells what happened."""

    def __init__(self, channel: socket) -> None:
        self.channel = channel
        self.descriptors: list[int] = []  # Handed over with the last message.

    def send(self, message: dict[str, Any]) -> None:
        self.channel.sendall(pack_control(message))

    def receive(self) -> dict[str, Any] | None:
        """The next message; None when the agent has gone."""
        self.descriptors = []
        head = self._read(CONTROL.size)
        body = self._read(CONTROL.unpack(head)[0]) if head else b""
        return json.loads(body) if body else None

    def _read(self, size: int) -> bytes:
        raw = b""
        while len(raw) < size:
            chunk, descriptors, _, _ = recv_fds(self.channel, size - len(raw), 1)
            self.descriptors += descriptors
            if not chunk:
                return b""
            raw += chunk
        return raw
