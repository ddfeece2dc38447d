"""`cellnode logs` where there is nothing to print: a person is told, a pipe gets nothing."""

from __future__ import annotations

import json

from tests.cellnode.cli.terminal import here
from tests.cellnode.site import serving, streamed


def test_a_cell_that_wrote_nothing_is_told_apart_from_a_fault() -> None:
    with serving(streamed()) as site:
        ended = here("logs", "digits", "--url", site.url)

    assert (ended.code, ended.out) == (0, "")
    assert ended.err.startswith("Nothing was written")


def test_a_line_is_printed_and_nothing_more() -> None:
    with serving(streamed(b'{"instance": "digits-1", "line": "hello"}\n')) as site:
        ended = here("logs", "digits", "--url", site.url)

    assert (ended.code, ended.out, ended.err) == (0, "digits-1 | hello\n", "")


def event(kind: str, sentence: str = "", status: str | None = None) -> bytes:
    told = {"node": "digits", "sentence": sentence, "at": "2026-05-04T12:00:00Z"}
    data = json.dumps(told if status is None else {**told, "status": status})
    return f"event: {kind}\ndata: {data}\n\n".encode()


def test_what_would_read_the_same_is_printed_once_and_again_in_another_life() -> None:
    created = event("NodeStatusChanged", "it was made", "CREATED")
    healthy = event("NodeStatusChanged", "it answers", "HEALTHY")
    life = (created, created, healthy, event("CommandAccepted"), healthy, event("NodeGone"))
    with serving(streamed(*life, created)) as site:
        lines = here("events", "digits", "--url", site.url).out.splitlines()
        whole = here("events", "digits", "--json", "--url", site.url).out.splitlines()

    words = ["CREATED", "HEALTHY", "accepted", "HEALTHY", "gone", "CREATED"]
    assert [line.split()[2] for line in lines] == words
    assert len(whole) == len(life) + 1
