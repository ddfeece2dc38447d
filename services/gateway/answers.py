"""What an instance answers, who is told of it, and what of it a caller sees."""

from __future__ import annotations

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
