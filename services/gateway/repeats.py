"""Heads that a client sends again and again: the same bytes mean the same, but for the length."""

from __future__ import annotations

from services.gateway.calls import Call

HEAD_END = b"\r\n\r\n"
LENGTH = b"\r\ncontent-length: "
DIGITS_MAX = 6  # A longer body comes in several reads anyway, and those are for the parser.
_ONE_TIME = frozenset({b"expect", b"transfer-encoding"})


class KnownHead:
    """A head that the parser has taken, around the digits of its Content-Length."""

    __slots__ = ("before", "behind", "headers", "method", "target")

    def __init__(self, before: bytes, behind: bytes, call: Call) -> None:
        self.before = before
        self.behind = behind
        self.method = call.method
        self.target = call.target
        self.headers = call.headers  # Only read from here on, by every call that shares it.

    def body_in(self, data: bytes, start: int) -> tuple[int, int] | None:
        """Where the body lies if this head stands at `start` and its whole body behind it."""
        if not data.startswith(self.before, start):
            return None
        digits_at = start + len(self.before)
        digits_end = data.find(b"\r", digits_at, digits_at + DIGITS_MAX + 1)
        digits = data[digits_at:digits_end] if digits_end > 0 else b""
        if not digits.isdigit() or not data.startswith(self.behind, digits_end):
            return None
        body_at = digits_end + len(self.behind)
        body_end = body_at + int(digits)
        return (body_at, body_end) if body_end <= len(data) else None


def known_head(data: bytes, call: Call) -> KnownHead | None:
    """The head of a call whose request `data` is, from its first byte to its last."""
    if call.close or call.http10 or not _ONE_TIME.isdisjoint(call.headers):
        return None
    head = data[: data.find(HEAD_END) + len(HEAD_END)]
    found = head.lower().find(LENGTH)
    if found < 0 or len(head) + call.size != len(data):
        return None
    digits_at = found + len(LENGTH)
    return KnownHead(head[:digits_at], head[head.find(b"\r", digits_at) :], call)
