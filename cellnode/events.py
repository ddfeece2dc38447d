"""Events as they happen: Server-Sent Events parsed, and resumed where a connection broke."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from cellnode.documents import time_of
from cellnode.errors import AnswerNotUnderstood, ServerUnreachable, Unavailable

if TYPE_CHECKING:
    from cellnode.http_asking import Ask

EVENT_BYTES_MAX = 4 * 1024 * 1024
SILENT_SECONDS_MAX = 40.0  # The server says something every 15 seconds, be it a comment.
AWAY_SECONDS_MAX = 60.0  # Then a server that cannot be reached again is given up.
PAUSE_SECONDS, PAUSE_SECONDS_MAX = 0.1, 2.0  # Before connecting again; doubled each time.
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Event:
    """Something that happened to a node: a change of status, an outcome of a command, an end.

    `kind` is NodeStatusChanged, InstanceStatusChanged, NodeGone, InstanceGone, CommandAccepted,
    CommandRejected, or `reset`: what follows is the whole present state, as history was lost.
    `id` is a position: `client.events(last_event_id=event.id)` goes on after it.
    """

    id: str
    kind: str
    data: Mapping[str, Any]

    @property
    def node(self) -> str | None:
        """The name of the node that it is about."""
        return self._text("node")

    @property
    def instance(self) -> str | None:
        """The instance that it is about; None if it is about the node itself."""
        return self._text("instance")

    @property
    def status(self) -> str | None:
        """The new status, of a change of status."""
        return self._text("status")

    @property
    def sentence(self) -> str:
        """What happened, for people; may be empty."""
        return self._text("sentence") or ""

    @property
    def at(self) -> datetime | None:
        """When it happened; None where the event does not tell."""
        text = self._text("at")
        return time_of(text) if text else None

    def _text(self, member: str) -> str | None:
        value = self.data.get(member)
        return value if isinstance(value, str) else None


class EventParser:
    """Bytes of a `text/event-stream` into events; knows nothing of connections."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id  # Of the last whole event: one that was cut comes again.
        self.retry_seconds: float | None = None  # What the server asks for, if it does.
        self._next_id = last_id
        self._rest = b""
        self._is_first = True
        self._kind = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that these bytes complete."""
        self._rest += chunk
        if len(self._rest) > EVENT_BYTES_MAX:
            raise AnswerNotUnderstood(f"an event is larger than {EVENT_BYTES_MAX} bytes")
        if self._is_first and len(self._rest) >= len(BYTE_ORDER_MARK):
            self._rest = self._rest.removeprefix(BYTE_ORDER_MARK)
            self._is_first = False
        # The last line may go on, and a \r at its end may be half of \r\n.
        *lines, self._rest = self._lines()
        for line in lines:
            event = self._line(line.decode(errors="replace"))
            if event is not None:
                yield event

    def _lines(self) -> list[bytes]:
        held = b"\r" if self._rest.endswith(b"\r") else b""
        text = self._rest[: len(self._rest) - len(held)]
        lines = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        return [*lines[:-1], lines[-1] + held]

    def _line(self, line: str) -> Event | None:
        if not line:
            return self._finished()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._kind = value
        elif name == "id" and "\0" not in value:
            self._next_id = value
        elif name == "retry" and value.isascii() and value.isdecimal():
            self.retry_seconds = min(int(value) / 1000, PAUSE_SECONDS_MAX)
        return None

    def _finished(self) -> Event | None:
        data, kind = "\n".join(self._data), self._kind or "message"
        had_data, self._data, self._kind = bool(self._data), [], ""
        self.last_id = self._next_id
        if not had_data:
            return None
        try:
            document = json.loads(data)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise AnswerNotUnderstood(f"the event {kind!r} holds what is no JSON object")
        return Event(self.last_id, kind, document)


class Chunks(Protocol):
    """An open answer, piece by piece."""

    def chunks(self) -> Iterator[bytes]: ...


class Opens(Protocol):
    """Whoever can open a streamed answer."""

    def stream(self, ask: Ask, silent_seconds_max: float) -> AbstractContextManager[Chunks]: ...


# The request that goes on after an id, or after a stream without one was open for so long.
AskFrom = Callable[[str, "float | None"], "Ask"]


class EventStream:
    """Events that go on where they were when a connection breaks; nothing twice, nothing lost."""

    def __init__(
        self, http: Opens, ask_from: AskFrom, *, follow: bool = True, last_id: str = ""
    ) -> None:
        self._http = http
        self._ask_from = ask_from
        self._follow = follow
        self._parser = EventParser(last_id)
        self._failures = 0
        self._opened_at: float | None = None

    def events(self, silent_seconds_max: float = SILENT_SECONDS_MAX) -> Iterator[Event]:
        """Every event; ends when all is told (not `follow`), or raises when the server is away."""
        away_since: float | None = None
        while True:
            try:
                for event in self._connected(silent_seconds_max):
                    away_since, self._failures = None, 0
                    yield event
                if not self._follow:
                    return
            except (ServerUnreachable, Unavailable):
                away_since = away_since or time.monotonic()
                # One that was never reached is told at once: the address may be wrong.
                if self._opened_at is None or time.monotonic() - away_since > AWAY_SECONDS_MAX:
                    raise
            time.sleep(self._pause())

    def _connected(self, silent_seconds_max: float) -> Iterator[Event]:
        self._parser = EventParser(self._parser.last_id)
        before = None if self._opened_at is None else time.monotonic() - self._opened_at
        ask = self._ask_from(self._parser.last_id, before)
        with self._http.stream(ask, silent_seconds_max) as stream:
            self._opened_at = self._opened_at or time.monotonic()
            for chunk in stream.chunks():
                yield from self._parser.feed(chunk)

    def _pause(self) -> float:
        self._failures += 1
        asked = self._parser.retry_seconds or PAUSE_SECONDS
        longest: float = min(asked * 2 ** min(self._failures - 1, 10), PAUSE_SECONDS_MAX)
        return longest * (0.5 + secrets.randbelow(500) / 1000)
