"""Events as they happen, as Server-Sent Events: resumable, bounded, never repeated."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field

from schemas.ids import NodeName
from services.api.event_streams import EventStream, Telling
from services.api.operations import EVENTS_TYPE, Answer, Call, Header, Operation, Query
from services.api.parts import Parts
from services.api.positions import sources_of
from services.api.problems import ApiProblem
from services.api.streams import Filter, Reader
from services.chassis.clock import Clock

LAST_EVENT_ID = "Last-Event-ID"
ID_CHARACTERS_MAX = 8_000
NODES_MAX = 100  # Named in one request.

Kind = Literal[
    "NodeStatusChanged",
    "InstanceStatusChanged",
    "NodeGone",
    "InstanceGone",
    "CommandAccepted",
    "CommandRejected",
]
_AGO = re.compile(r"-([0-9]{1,9})([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}

_SINCE = Field(max_length=64, description="A moment (RFC 3339), or how long ago: -90s, -10m, -2h.")
_FOLLOW = Field(description="false: end after what is there already.")
_LAST = Field(max_length=ID_CHARACTERS_MAX, description="Like the header Last-Event-ID.")


class NodeEventsQuery(Query):
    """Which events of a node."""

    kind: Annotated[tuple[Kind, ...], Field(description="Only these kinds.")] = ()
    since: Annotated[str | None, _SINCE] = None
    follow: Annotated[bool, _FOLLOW] = True
    last_event_id: Annotated[str | None, _LAST] = None


class EventsQuery(NodeEventsQuery):
    """Which events."""

    node: Annotated[
        tuple[NodeName, ...], Field(max_length=NODES_MAX, description="Only those of these nodes.")
    ] = ()


def operations(parts: Parts) -> list[Operation]:
    routes = Events(parts)
    shared: dict[str, Any] = {
        "tag": "events",
        "answers": (Answer(200, "Events, until the reader leaves", media_type=EVENTS_TYPE),),
        "headers": (
            Header(LAST_EVENT_ID, "The id of the last event that was heard: go on there."),
        ),
        "problems": ("bus-unavailable", "too-many-streams"),
    }
    return [
        Operation(
            "GET",
            "/v1/events",
            "What happens to the nodes of the project, as Server-Sent Events",
            routes.all,
            id="followEvents",
            query=EventsQuery,
            **shared,
        ),
        Operation(
            "GET",
            "/v1/nodes/{node}/events",
            "What happens to the node, as Server-Sent Events",
            routes.of_node,
            id="followNodeEvents",
            query=NodeEventsQuery,
            **shared,
        ),
    ]


class Events:
    """Each stream reads the shared log at its own pace, so a slow one holds nothing up."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._settings = parts.settings

    async def all(self, call: Call[EventsQuery, None]) -> web.StreamResponse:
        return await self._stream(call, frozenset(call.query.node))

    async def of_node(self, call: Call[NodeEventsQuery, None]) -> web.StreamResponse:
        return await self._stream(call, frozenset({call.node}))

    async def _stream(self, call: Call[Any, None], nodes: frozenset[str]) -> web.StreamResponse:
        query: NodeEventsQuery = call.query
        since_ms = None if query.since is None else _moment(query.since, self._parts.clock)
        wanted = Filter(call.project, nodes, frozenset(query.kind), since_ms)
        self._parts.news.check_read()
        partitions = wanted.partitions(self._settings.cellnode_partitions)
        reader = Reader(self._parts.news.events, wanted, sources_of(partitions))
        last = call.request.headers.get(LAST_EVENT_ID) or query.last_event_id
        with self._parts.streams.one_more():
            why = _begin(reader, last, query)
            end = None if query.follow else reader.log.next
            settings = self._settings
            stream = await EventStream.opened(call.request, settings.stream_write_seconds_max)
            telling = Telling(self._parts, reader, stream)
            with suppress(ConnectionError):  # The reader has left.
                await telling.until(end, why)
        return stream.response


def _begin(reader: Reader, last: str | None, query: NodeEventsQuery) -> str:
    """Where the reader starts; else the sentence why it cannot start there."""
    if last:
        return reader.resumed(last)
    if query.since is None and query.follow:
        reader.from_now()
    else:
        reader.from_start()
    return ""


def _moment(since: str, clock: Clock) -> float:
    """In milliseconds since 1970."""
    if (ago := _AGO.fullmatch(since)) is not None:
        return (clock.now().timestamp() - int(ago[1]) * _SECONDS[ago[2]]) * 1000
    try:
        moment = datetime.fromisoformat(since.replace(" ", "+"))  # A + in a query is a blank.
        if moment.tzinfo is not None:
            return moment.timestamp() * 1000
    except (ValueError, OverflowError):
        pass
    raise ApiProblem(
        "invalid-field",
        f"since: {since!r} is no moment",
        field="since",
        remedy="write it like 2026-05-04T12:00:00Z, or like -10m (s, m, h)",
    )
