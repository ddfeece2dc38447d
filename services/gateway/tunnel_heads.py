"""Heads of what goes through to the api: end-to-end headers pass, framing is written anew. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

Lines = list[tuple[bytes, bytes]]

# What concerns one connection only (RFC 9110, 7.6.1), and what is written anew.
_HOP_BY_HOP = frozenset(
    {
        b"connection", b"content-length", b"host", b"keep-alive", b"proxy-authenticate",
        b"proxy-authorization", b"proxy-connection", b"te", b"trailer", b"transfer-encoding",
        b"upgrade", b"x-request-id",
    }
)  # fmt: skip
_REPLACED = frozenset({b"forwarded", b"traceparent", b"tracestate"})
_ABSOLUTE = re.compile(rb"[Hh][Tt][Tt][Pp]://[^/?#]*")
_TARGET = re.compile(rb'/[!"$-~]*')
_HOST = re.compile(rb"[A-Za-z0-9._:\[\]-]{1,255}")
_PLAIN_PEER = re.compile(r"[0-9.]{7,15}")
DEFAULT_HOST = b"cellnode"  # HTTP/1.0 may come without one.
PASSED_BYTES_MAX = 4096  # Of the Forwarded that a client brings; a longer one ends here.


class BadAnswer(Exception):
    """The api's answer cannot be passed on: its framing has two meanings, or none."""


def origin_form(target: bytes) -> bytes:
    """The path as the api is asked for it; empty if it is none."""
    absolute = _ABSOLUTE.match(target)
    if absolute is not None:
        target = target[absolute.end() :]
        target = target if target.startswith(b"/") else b"/" + target
    return target if _TARGET.fullmatch(target) else b""


def end_to_end(lines: Iterable[tuple[bytes, bytes]]) -> Lines:
    """Without what concerns one connection, the headers that Connection names among it."""
    lines = list(lines)
    named = {
        token.strip(b" \t").lower()
        for name, value in lines
        if name.lower() == b"connection"
        for token in value.split(b",")
    }
    dropped = _HOP_BY_HOP | named
    return [(name, value) for name, value in lines if name.lower() not in dropped]


def written(lines: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join(b"%b: %b\r\n" % line for line in lines)


def request_head(
    first: tuple[bytes, bytes],
    lines: Lines,
    headers: dict[bytes, bytes],
    *,
    added: Lines,
) -> bytes:
    """`first` is method and path; `headers` are those that the intake read, each of them once."""
    method, path = first
    passed = [line for line in end_to_end(lines) if line[0].lower() not in _REPLACED]
    if b"transfer-encoding" in headers:
        framing = b"Transfer-Encoding: chunked\r\n"
    elif b"content-length" in headers:
        framing = b"Content-Length: %d\r\n" % int(headers[b"content-length"])
    else:
        framing = b""
    return b"%b %b HTTP/1.1\r\nHost: %b\r\n%b%b%bConnection: close\r\n\r\n" % (
        method,
        path,
        headers.get(b"host") or DEFAULT_HOST,
        written(passed),
        written(added),
        framing,
    )


def forwarded(lines: Lines, peer: str, host: bytes) -> bytes:
    """RFC 7239: what proxies before us have said, then who called us, under which name."""
    before = [value for name, value in lines if name.lower() == b"forwarded"]
    node = peer if _PLAIN_PEER.fullmatch(peer) else f'"[{peer}]"' if ":" in peer else "unknown"
    element = b"for=%b;proto=http" % node.encode("ascii", "replace")
    if _HOST.fullmatch(host):
        element += b';host="%b"' % host
    kept = b", ".join(before)
    return b"%b, %b" % (kept, element) if kept and len(kept) <= PASSED_BYTES_MAX else element


class AnswerHead:
    """The head of one answer of the api, as far as it has come."""

    def __init__(self) -> None:
        self.lines: Lines = []
        self.length: int | None = None
        self.is_chunked = False
        self.is_stream = False  # Of events: it has no end of its own.
        self.size = 0

    def add(self, name: bytes, value: bytes) -> None:
        """Raises BadAnswer where the framing has more than one meaning."""
        lower = name.lower()
        self.lines.append((name, value))
        self.size += len(name) + len(value)
        if lower == b"content-length":
            if self.length is not None or not value.isdigit():
                raise BadAnswer("its length has more than one meaning")
            self.length = int(value)
        elif lower == b"transfer-encoding":
            if self.is_chunked or value.lower() != b"chunked":
                raise BadAnswer("its coding is not chunked, once")
            self.is_chunked = True
        elif lower == b"content-type":
            self.is_stream = value.lower().startswith(b"text/event-stream")

    def check(self) -> None:
        if self.is_chunked and self.length is not None:
            raise BadAnswer("it has a length and a coding")
