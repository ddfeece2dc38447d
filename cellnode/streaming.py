"""What an open answer brings line by line: events and logs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from cellnode.errors import AnswerNotUnderstood
from cellnode.events import Event, EventStream
from cellnode.http_asking import Ask
from cellnode.models import LogLine
from cellnode.origin import Origin, pairs, path_of

LINE_BYTES_MAX = 16 * 1024 * 1024
LOGS_SILENT_SECONDS_MAX = 24 * 3600.0  # A node may have nothing to say for long.


def events(
    origin: Origin,
    *,
    node: str | Iterable[str] | None = None,
    kind: str | Iterable[str] | None = None,
    since: str | datetime | timedelta | None = None,
    follow: bool = True,
    last_event_id: str = "",
) -> Iterator[Event]:
    """Events of some nodes and kinds (None: all), resumed where the connection broke."""
    once = pairs({"node": node, "kind": kind, "follow": "true" if follow else "false"})
    begin = since_text(since)

    def ask_from(last_id: str, open_seconds: float | None) -> Ask:
        headers = {"Accept": "text/event-stream"}
        if last_id:
            return Ask("GET", path_of("events"), once, {**headers, "Last-Event-ID": last_id})
        from_when = begin
        if begin is None and open_seconds is not None and follow:
            # Nothing was told yet: go on from when the first connection stood.
            from_when = since_text(timedelta(seconds=open_seconds))
        return Ask("GET", path_of("events"), (*once, *pairs({"since": from_when})), headers)

    return EventStream(origin.http, ask_from, follow=follow, last_id=last_event_id).events()


def since_text(since: str | datetime | timedelta | None) -> str | None:
    """A moment, or how long ago, as the api takes it."""
    if isinstance(since, timedelta):
        return f"-{math.ceil(abs(since).total_seconds())}s"
    if isinstance(since, datetime):
        return since.astimezone().isoformat()
    return since


def log_lines(origin: Origin, path: str, params: tuple[tuple[str, str], ...]) -> Iterator[LogLine]:
    """The lines as they come."""
    ask = Ask("GET", path, params, {"Accept": "application/x-ndjson"})
    with origin.http.stream(ask, LOGS_SILENT_SECONDS_MAX) as stream:
        rest = b""
        for chunk in stream.chunks():
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > LINE_BYTES_MAX:
                raise AnswerNotUnderstood(f"a line of the log is over {LINE_BYTES_MAX} bytes long")
            yield from (log_line(line) for line in lines if line.strip())
        if rest.strip():
            yield log_line(rest)


def log_line(line: bytes) -> LogLine:
    """One line of newline-delimited JSON."""
    try:
        return LogLine.from_json(json.loads(line))
    except ValueError:
        raise AnswerNotUnderstood("a line of the log is no JSON") from None
