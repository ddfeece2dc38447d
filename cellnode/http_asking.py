"""What is asked over HTTP, what is answered, and when asking again is right; no library in it."""

from __future__ import annotations

import json
import platform
import secrets
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from cellnode.errors import AnswerNotUnderstood, ProblemError, ServerUnreachable

TRIES_MAX = 4  # Of one request, the first included.
UNSETTLED_TRIES_MAX = 10  # While a service is started again; together about eight seconds.
PAUSE_SECONDS, PAUSE_SECONDS_MAX = 0.1, 2.0  # Before the second try; each later one doubles.
ANSWER_BYTES_MAX = 128 * 1024 * 1024
SHOWN_CHARACTERS_MAX = 300
NOT_EXECUTED = "Cellnode-Not-Executed"
# Their state passes soon: the gateway hears of a new instance a moment after its status event.
_PASSING = {"starting", "no-healthy-instance", "busy", "draining", "not-ready", "wrong-instance"}
# Another moment may do, for what may be asked twice.
_UNSETTLED = {"api-unavailable", "bus-unavailable", "projection-unavailable", "instance-lost"}
_SAFE_METHODS = {"GET", "HEAD"}

Bytes = Callable[[], Iterator[bytes]]


class Silent(ServerUnreachable):
    """An open stream says nothing for longer than was agreed."""


@dataclass(frozen=True)
class Ask:
    """One request, as often as it has to be sent."""

    method: str
    path: str
    params: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | Bytes | None = None  # Bytes, or what makes them anew for each try.
    timeout_seconds: float = 30.0  # For all tries together, pauses included.
    is_repeatable: bool = False  # Doing it twice does no harm, whatever its method.

    @property
    def may_repeat(self) -> bool:
        """Whether it may be sent again though the first one may have been carried out."""
        is_safe = self.method in _SAFE_METHODS or "Idempotency-Key" in self.headers
        return self.is_repeatable or is_safe


@dataclass(frozen=True)
class Answer:
    """Status, headers (by their names in small letters) and the whole body."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def is_good(self) -> bool:
        """Whether it is no problem."""
        return self.status < 400

    def json(self) -> Any:
        """The body as JSON; AnswerNotUnderstood if it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            text = self.body[:SHOWN_CHARACTERS_MAX].decode(errors="replace")
            raise AnswerNotUnderstood(
                f"the server answered {self.status} with what is no JSON: {text!r}; "
                "is there a proxy in between, or another program at this address?"
            ) from None

    def problem(self) -> ProblemError:
        """The exception that this error answer is."""
        try:
            document = json.loads(self.body)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            text = self.body[:SHOWN_CHARACTERS_MAX].decode(errors="replace").strip()
            document = {"detail": f"the server answered {self.status}: {text or 'nothing more'}"}
        if "request_id" not in document and "x-request-id" in self.headers:
            document = {**document, "request_id": self.headers["x-request-id"]}
        return ProblemError.of(self.status, document)

    def code(self) -> str:
        """The problem's code; empty for anything else."""
        return "" if self.is_good else self.problem().code


class Tries:
    """Counts the tries of one request and says whether, and after which pause, there is another."""

    def __init__(self, ask: Ask, url: str) -> None:
        self._ask = ask
        self._url = url
        self._made = 0
        self._ends_at = time.monotonic() + ask.timeout_seconds

    @property
    def seconds_left(self) -> float:
        """Of the request's time; never quite 0, so that it can be a timeout."""
        return max(self._ends_at - time.monotonic(), 0.001)

    def must_not_be_over(self) -> None:
        """Raise when the request's time is over."""
        if time.monotonic() >= self._ends_at:
            raise self.too_late()

    def too_late(self) -> ServerUnreachable:
        """The error of a server that is there but says nothing in time."""
        return ServerUnreachable(
            self._url,
            f"no whole answer to {self._ask.method} {self._ask.path} "
            f"within {self._ask.timeout_seconds:g} s",
            remedy="give it longer with timeout_seconds=, or look at the server's log",
        )

    def after_answer(self, answer: Answer) -> float | None:
        """The pause before the next try; None if this answer is the last."""
        if answer.is_good or answer.status == 500:
            return None
        code = answer.code()
        if self._ask.may_repeat and code in _UNSETTLED:
            return self._pause(UNSETTLED_TRIES_MAX)
        was_not_run = answer.headers.get(NOT_EXECUTED.lower()) == "true"
        may_repeat = was_not_run or self._ask.may_repeat
        return self._pause(TRIES_MAX) if may_repeat and code in _PASSING else None

    def after_failure(self, *, was_sent: bool) -> float | None:
        """The pause before the next try; None if asking again could do harm or helps no more."""
        return self._pause(TRIES_MAX) if not was_sent or self._ask.may_repeat else None

    def _pause(self, tries_max: int) -> float | None:
        self._made += 1
        longest = min(PAUSE_SECONDS * 2 ** (self._made - 1), PAUSE_SECONDS_MAX)
        # Between half and all of it, so that many callers do not come back at once.
        pause = longest * (0.5 + secrets.randbelow(500) / 1000)
        return pause if self._made < tries_max and pause < self.seconds_left else None


def headers_of(ask: Ask, always: Mapping[str, str]) -> dict[str, str]:
    """All headers of a request: one id for all its tries, and the caller's trace."""
    return {"X-Request-ID": uuid.uuid4().hex, **always, **trace_headers(), **ask.headers}


def trace_headers() -> dict[str, str]:
    """`traceparent` of the caller's span, if its process traces with OpenTelemetry."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return {}
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    parent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
    state = context.trace_state.to_header() if context.trace_state else ""
    return {"traceparent": parent, **({"tracestate": state} if state else {})}


def user_agent() -> str:
    """Which version of this package asks, under which Python."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        ours = version("cellnode")
    except PackageNotFoundError:
        ours = "0"
    return f"cellnode/{ours} python/{platform.python_version()}"
