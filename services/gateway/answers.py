"""What an instance answers, who is told of it, and what of it a caller sees."""

from __future__ import annotations

import re
from typing import Protocol

from services.gateway.calls import Call

PASSED_ON = frozenset({b"content-type", b"retry-after"})
KEPT_INSIDE = frozenset({b"cellnode-timeout-ms", b"cellnode-errors"})


class Answer:
    """What an instance answers to one call, as far as it has come."""

    status = 0
    headers = b""  # Those passed on, as lines.
    length: int | None = None
    chunked = False
    execution_us = 0.0
    instance = b""
    not_executed = False
    body = b""
    size = 0
    streams = False  # Its head has gone to the client.
    interims = 0


def plain_pattern(instance: str) -> re.Pattern[bytes]:
    """The head of nearly every answer, as the agent writes it to the byte; group 1 is passed on.

    What does not match, by one byte or because it is cut, is read by the parser.
    """
    head = (
        rb"HTTP/1\.1 200 OK\r\n(Content-Type: application/json\r\n"
        rb"Cellnode-Execution-Us: ([0-9]{1,12})\r\nCellnode-Instance: %b\r\n)"
        rb"Content-Length: ([0-9]{1,5})\r\n\r\n"
    )
    return re.compile(head % re.escape(instance).encode())


class Owner(Protocol):
    """Who is told what became of a call."""

    def answered(self, call: Call, answer: Answer) -> None: ...
    def streams(self, call: Call, answer: Answer) -> None: ...
    def streamed(self, call: Call, answer: Answer) -> None: ...
    def too_large(self, call: Call) -> None: ...
    def cut(self, call: Call) -> None: ...
    def lost(self, call: Call, why: str, *, sent: bool, heard: bool) -> None: ...


class BadAnswer(Exception):
    """The instance's answer breaks the contract; its connection is never used again."""
