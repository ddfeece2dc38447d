"""Answers on one connection mean the same however the network cuts them."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.answers import Answer
from services.gateway.calls import Call
from services.gateway.pools import Pool
from services.gateway.upstreams import Upstream

PLAIN = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCellnode-Execution-Us: 7\r\n"
    b"Cellnode-Instance: digits-3fa9c1-1\r\nContent-Length: 4\r\n\r\nbody"
)
OTHERS = [
    PLAIN.replace(b"200 OK", b"500 No"),
    PLAIN.replace(b"Content-Length: 4\r\n", b"Transfer-Encoding: chunked\r\n").replace(
        b"\r\n\r\nbody", b"\r\n\r\n4\r\nbody\r\n0\r\n\r\n"
    ),
    b"HTTP/1.1 103 Early\r\n\r\n" + PLAIN,
    PLAIN.replace(b"application/json", b"text/plain"),
]


class Recorder:
    """Writes down what became of each call."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, bytes]] = []

    def answered(self, call: Call, answer: Answer) -> None:
        self.told.append((call.place, answer.status, answer.body))

    def lost(self, call: Call, why: str, *, sent: bool, heard: bool) -> None:
        self.told.append((call.place, 0, f"{sent} {heard}".encode()))


class Silent:
    """A transport that leads nowhere."""

    def write(self, data: bytes) -> None: ...
    def abort(self) -> None: ...
    def get_write_buffer_size(self) -> int:
        return 0


async def fed(stream: bytes, cuts: list[int], calls: int) -> list[tuple[str, int, bytes]]:
    """What is told of this many calls when the stream comes in these pieces."""
    recorder = Recorder()
    pool = Pool("digits-3fa9c1-1", "unix:/tmp/none", cast(Any, recorder))
    upstream = Upstream(pool)
    upstream.connection_made(cast(asyncio.BaseTransport, Silent()))
    pool.freed(upstream)
    for number in range(calls):
        call = Call(cast(Any, None), 0.0)
        call.place = str(number)
        upstream.send(call, b"head")
    upstream._flush()
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    for start, end in pairwise(places):
        upstream.data_received(stream[start:end])
    upstream.connection_lost(None)
    return recorder.told


@given(
    answers=st.lists(st.sampled_from([PLAIN, PLAIN, *OTHERS]), min_size=1, max_size=5),
    cuts=st.lists(st.integers(0, 10**6), max_size=8),
)
@settings(deadline=None)
def test_cuts_change_nothing(answers: list[bytes], cuts: list[int]) -> None:
    told = asyncio.run(fed(b"".join(answers), cuts, len(answers)))
    statuses = [500 if b"500 No" in answer else 200 for answer in answers]
    expected = [(str(n), status, b"body") for n, status in enumerate(statuses)]
    assert told == expected


@pytest.mark.parametrize("place", range(len(PLAIN)))
async def test_an_answer_cut_off_anywhere_is_no_answer(place: int) -> None:
    told = await fed(PLAIN + PLAIN[:place], [], 3)
    heard = place > 0
    assert told == [
        ("0", 200, b"body"),
        ("1", 0, f"True {heard}".encode()),
        ("2", 0, b"True False"),
    ]


async def test_the_plain_answer_of_another_instance_is_not_taken() -> None:
    other = PLAIN.replace(b"digits-3fa9c1-1", b"digits-3fa9c1-2")
    assert await fed(other, [], 1) == [("0", 0, b"True True")]


async def test_an_answer_that_nobody_asked_for_ends_the_connection() -> None:
    told = await fed(PLAIN + PLAIN, [], 1)
    assert told == [("0", 200, b"body")]
