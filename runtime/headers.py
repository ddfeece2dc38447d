"""The request headers that an agent reads, each with the rules that it must keep."""

from __future__ import annotations

import re
from collections.abc import Callable

from runtime.exchange import Exchange

WORD_CHARACTERS = frozenset(range(0x21, 0x7F))
REQUEST_ID_BYTES_MAX = 128
TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


class Rejected(Exception):
    """A message that breaks HTTP or a limit: the code of its problem and what is wrong."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Framing:
    """What the headers of one message say about where its body ends."""

    __slots__ = ("content_length", "hosts", "is_chunked")

    def __init__(self) -> None:
        self.content_length: bytes | None = None
        self.hosts = 0
        self.is_chunked = False


def _read_length(framing: Framing, exchange: Exchange, value: bytes) -> None:
    if framing.content_length is not None:
        raise Rejected("bad-request", "more than one Content-Length")
    if not value.isdigit() or len(value) > 18:
        raise Rejected("bad-request", "Content-Length is not a number")
    framing.content_length = value


def _read_encoding(framing: Framing, exchange: Exchange, value: bytes) -> None:
    if framing.is_chunked or value.lower() != b"chunked":
        raise Rejected("bad-request", "the only Transfer-Encoding is `chunked`, once")
    framing.is_chunked = True


def _read_host(framing: Framing, exchange: Exchange, value: bytes) -> None:
    framing.hosts += 1


def _read_expect(framing: Framing, exchange: Exchange, value: bytes) -> None:
    exchange.expects_continue = value.lower() == b"100-continue"


def _read_instance(framing: Framing, exchange: Exchange, value: bytes) -> None:
    exchange.instance = value


def _read_timeout(framing: Framing, exchange: Exchange, value: bytes) -> None:
    if not value.isdigit() or len(value) > 9:
        raise Rejected("bad-request", "Cellnode-Timeout-Ms must be a whole number")
    exchange.timeout_ms = int(value)


def _read_errors(framing: Framing, exchange: Exchange, value: bytes) -> None:
    exchange.errors = value


def _read_request_id(framing: Framing, exchange: Exchange, value: bytes) -> None:
    if len(value) <= REQUEST_ID_BYTES_MAX and WORD_CHARACTERS.issuperset(value):
        exchange.request_id = value.decode("ascii")


def _read_trace(framing: Framing, exchange: Exchange, value: bytes) -> None:
    if TRACEPARENT.fullmatch(value):
        exchange.traceparent = value


HEADERS: dict[bytes, Callable[[Framing, Exchange, bytes], None]] = {
    b"content-length": _read_length,
    b"transfer-encoding": _read_encoding,
    b"host": _read_host,
    b"expect": _read_expect,
    b"cellnode-instance": _read_instance,
    b"cellnode-timeout-ms": _read_timeout,
    b"cellnode-errors": _read_errors,
    b"x-request-id": _read_request_id,
    b"traceparent": _read_trace,
}
