"""Server-Sent Events: the same whatever the pieces; resumed where a connection broke."""

import itertools
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellnode.errors import AnswerNotUnderstood, ServerUnreachable
from cellnode.events import EVENT_BYTES_MAX, Event, EventParser
from cellnode.origin import Origin
from cellnode.streaming import events, since_text
from tests.cellnode.site import Reply, Site, problem, serving, streamed

TEXT = (
    '\ufeff: hello\nretry: 50\n\nid: 1\nevent: NodeStatusChanged\ndata: {"node": "a",\n'
    'data: "sentence": "\u2028ü"}\n\nevent: NodeGone\r\ndata:{}\r\n\r\nid: 3\rdata: {"n": 1}\r\r'
    "id\n\nevent: nothing\n\nid: 9\ndata: {}"
).encode()
EVENTS = [
    Event("1", "NodeStatusChanged", {"node": "a", "sentence": "\u2028ü"}),
    Event("1", "NodeGone", {}),
    Event("3", "message", {"n": 1}),
]


def parsed(*chunks: bytes) -> tuple[list[Event], EventParser]:
    parser = EventParser()
    return [event for chunk in chunks for event in parser.feed(chunk)], parser


@given(st.lists(st.integers(0, len(TEXT)), max_size=12))
def test_events_are_the_same_in_whatever_pieces_they_come(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(TEXT)]
    found, parser = parsed(*(TEXT[a:b] for a, b in itertools.pairwise(places)))

    assert found == EVENTS
    assert parser.last_id == ""  # `id` alone resets it; the last event is not whole.
    assert parser.retry_seconds == 0.05


@pytest.mark.parametrize("data", [b"data: x\n\n", b"data: [1]\n\n", b"x" * (EVENT_BYTES_MAX + 1)])
def test_what_is_no_event_of_ours_is_refused(data: bytes) -> None:
    with pytest.raises(AnswerNotUnderstood):
        parsed(data)


def event(number: int) -> bytes:
    return f'id: {number}\nevent: NodeGone\ndata: {{"node": "n{number}"}}\n\n'.encode()


@contextmanager
def telling(*replies: Reply) -> Iterator[tuple[Site, Origin]]:
    with serving(*replies) as site, closing(Origin(site.url, "default", 5.0)) as origin:
        yield site, origin


def test_a_broken_stream_goes_on_after_the_last_whole_event() -> None:
    half = streamed(event(1), event(2)[:-9], ends=False)
    away = [problem("api-unavailable"), Reply(is_cut=True)]
    with telling(half, *away, streamed(event(2), event(3))) as (site, origin):
        found = list(itertools.islice(events(origin, node="a", since="-5m"), 3))

    assert [each.id for each in found] == ["1", "2", "3"]
    assert site.requests[0].target == "/v1/events?node=a&follow=true&since=-5m"
    assert site.requests[-1].target == "/v1/events?node=a&follow=true"
    assert [each.headers.get("last-event-id") for each in site.requests] == [None, "1", "1", "1"]


def test_a_stream_that_broke_before_its_first_event_goes_on_from_its_beginning() -> None:
    with telling(streamed(b": hello\n\n", ends=False), streamed(event(1))) as (site, origin):
        assert next(events(origin)).node == "n1"

    assert site.requests[1].target == "/v1/events?follow=true&since=-1s"


def test_without_follow_a_stream_ends_when_all_is_told() -> None:
    with telling(streamed(event(1), event(2))) as (_, origin):
        assert [each.node for each in events(origin, follow=False)] == ["n1", "n2"]


def test_a_server_that_was_never_there_is_told_at_once() -> None:
    with telling(Reply(is_cut=True)) as (site, origin), pytest.raises(ServerUnreachable):
        next(events(origin))

    assert len(site.requests) == 1


def test_a_moment_may_be_said_in_three_ways() -> None:
    moment = datetime(2026, 5, 4, 12, tzinfo=timezone.utc)

    assert since_text(moment) == "2026-05-04T12:00:00+00:00"
    assert since_text(timedelta(minutes=10, milliseconds=1)) == "-601s"
    assert since_text("-10m") == "-10m"
