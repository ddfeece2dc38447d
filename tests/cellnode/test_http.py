"""The door to HTTP: what is sent again and what never, whose trace it is, how long it may take."""

import asyncio
import socket
import sys
import time
import types
from contextlib import closing
from typing import Any

import pytest

from cellnode.errors import ProblemError, ServerUnreachable
from cellnode.http import Http
from cellnode.http_asking import TRIES_MAX, UNSETTLED_TRIES_MAX, Answer, Ask, Tries
from cellnode.http_async import AsyncHttp
from tests.cellnode.site import Reply, Site, answer, problem, serving, streamed

CUT = Reply(is_cut=True)
GET = Ask("GET", "/v1/nodes", timeout_seconds=5.0)
PUT = Ask("PUT", "/v1/nodes/a", content=b"{}", timeout_seconds=5.0)
ONCE = {"Idempotency-Key": "k"}
NOT_RUN = "Cellnode-Not-Executed: true\r\n"


def asked(site: Site, ask: Ask) -> Answer:
    with closing(Http(site.url, {})) as http:
        return http.ask(ask)


def test_connections_are_used_again() -> None:
    with serving(answer({})) as site, closing(Http(site.url, {})) as http:
        for _ in range(3):
            assert http.ask(GET).status == 200

    assert (len(site.requests), site.connections) == (3, 1)


@pytest.mark.parametrize(
    ("ask", "count"),
    [
        (GET, 2),
        (PUT, 1),
        (Ask("PUT", "/x", headers=ONCE, content=b"{}"), 2),
        (Ask("POST", "/x", content=b"{}"), 1),
        (Ask("PUT", "/x", content=b"{}", is_repeatable=True), 2),
    ],
)
def test_what_may_have_been_carried_out_is_sent_again_only_where_that_is_safe(
    ask: Ask, count: int
) -> None:
    with serving(CUT, answer({"fine": True})) as site:
        if count == 1:
            with pytest.raises(ServerUnreachable):
                asked(site, ask)
        else:
            assert asked(site, ask).json() == {"fine": True}

    assert len(site.requests) == count


def test_a_request_that_is_sent_again_keeps_its_id_and_its_key() -> None:
    with serving(CUT, answer({})) as site:
        asked(site, Ask("PUT", "/x", headers=ONCE, content=b"{}"))

    first, second = site.requests
    assert len(first.headers["x-request-id"]) == 32
    assert first.headers["x-request-id"] == second.headers["x-request-id"]
    assert second.headers["idempotency-key"] == "k"


@pytest.mark.parametrize(
    ("reply", "ask", "count"),
    [
        (problem("no-healthy-instance", NOT_RUN), PUT, TRIES_MAX),
        (problem("no-healthy-instance"), PUT, 1),
        (problem("queue-full", NOT_RUN), PUT, 1),
        (problem("node-unknown", NOT_RUN), GET, 1),
        (problem("api-unavailable"), PUT, 1),
        (problem("internal-error"), GET, 1),
    ],
)
def test_a_refusal_is_answered_by_another_try_only_if_its_cause_passes_soon(
    reply: Reply, ask: Ask, count: int
) -> None:
    with serving(reply) as site:
        assert not asked(site, ask).is_good

    assert len(site.requests) == count


def test_tries_are_limited_also_while_the_api_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellnode.http_asking.PAUSE_SECONDS_MAX", 0.001)
    with serving(problem("api-unavailable")) as site:
        assert asked(site, GET).code() == "api-unavailable"

    assert len(site.requests) == UNSETTLED_TRIES_MAX


def test_a_server_that_is_not_there_is_told_with_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ServerUnreachable, match="cellnode up") as raised:
            Http(url, {}).ask(PUT)

    assert raised.value.url == url


def test_an_answer_that_drips_ends_with_the_request_s_time() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"
    with serving(Reply(head)) as site:
        begun = time.monotonic()
        with pytest.raises(ServerUnreachable, match=r"within 0\.3 s"):
            asked(site, Ask("POST", "/x", content=b"", timeout_seconds=0.3))

    assert time.monotonic() - begun < 2.0


def test_pauses_stop_when_the_request_s_time_is_over() -> None:
    tries = Tries(Ask("GET", "/x", timeout_seconds=0.02), "http://x")

    assert tries.after_failure(was_sent=False) is None


def test_a_proxy_s_page_is_a_problem_that_shows_it() -> None:
    page = Reply(b"HTTP/1.1 502 X\r\nContent-Length: 6\r\nX-Request-ID: r1\r\n\r\n<html>")
    with serving(page) as site:
        found = asked(site, PUT).problem()

    assert "<html>" in str(found)
    assert (found.status, found.request_id) == (502, "r1")


def test_problems_of_a_stream_are_raised() -> None:
    with (
        serving(problem("too-many-streams")) as site,
        closing(Http(site.url, {})) as http,
        pytest.raises(ProblemError) as raised,
        http.stream(GET, 1.0),
    ):
        pass

    assert raised.value.code == "too-many-streams"


def test_a_stream_that_is_cut_is_told_after_what_came() -> None:
    with (
        serving(streamed(b"one", ends=False)) as site,
        closing(Http(site.url, {})) as http,
        http.stream(GET, 1.0) as got,
    ):
        chunks = got.chunks()

        assert next(chunks) == b"one"
        with pytest.raises(ServerUnreachable):
            next(chunks)


def test_the_caller_s_span_is_the_parent_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry.sdk.trace import TracerProvider

    tracer = TracerProvider().get_tracer("test")
    with serving(answer({})) as site:
        asked(site, GET)
        with tracer.start_as_current_span("mine") as span:
            asked(site, GET)

    outside, inside = site.requests
    assert "traceparent" not in outside.headers
    assert inside.headers["traceparent"].split("-")[1] == f"{span.get_span_context().trace_id:032x}"


def test_without_opentelemetry_nothing_of_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "opentelemetry.trace", raising=False)
    with serving(answer({})) as site:
        asked(site, GET)

    assert "opentelemetry.trace" not in sys.modules


def test_a_forked_process_speaks_on_connections_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(answer({})) as site, closing(Http(site.url, {})) as http:
        http.ask(GET)
        of_parent = http._client
        assert of_parent is not None
        monkeypatch.setattr("cellnode.http.os", types.SimpleNamespace(getpid=lambda: -1))
        http.ask(GET)
        of_parent.close()

    assert site.connections == 2


async def test_coroutines_share_connections_and_tries() -> None:
    with serving(CUT, answer({"n": 1})) as site:
        http = AsyncHttp(site.url, {})
        first = await http.ask(GET)
        others = await asyncio.gather(*(http.ask(GET) for _ in range(3)))
        await http.close()

    assert [each.json() for each in (first, *others)] == [{"n": 1}] * 4


def test_each_event_loop_has_connections_of_its_own() -> None:
    with serving(answer({"n": 1})) as site:
        http = AsyncHttp(site.url, {})

        async def once() -> Any:
            found = (await http.ask(GET)).json()
            await http.close()
            return found

        assert [asyncio.run(once()) for _ in range(2)] == [{"n": 1}] * 2
