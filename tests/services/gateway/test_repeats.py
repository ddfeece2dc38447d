"""A head known from before is read as the parser would read it, whatever the network cuts."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.calls import Call
from services.gateway.intake import Intake, IntakeLimits

HEADS = [
    b"POST /v1/nodes/digits:execute HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n",
    b"POST /v1/nodes/digits:execute HTTP/1.1\r\nhost: a\r\ncontent-length: %d\r\nX: y\r\n\r\n",
    b"POST /v1/nodes/other:execute HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n",
    b"POST /v1/nodes/digits:execute HTTP/1.1\r\nContent-Length: %d\r\nHost: a\r\n\r\n",
]
KNOWN = HEADS[0] % 3 + b"abc"
BODIES = [b"", b"x", b"\r\n\r\n", b"Content-Length: 3\r\n\r\n", KNOWN, b"y" * 2000]


class Client:
    """Keeps what was read."""

    def __init__(self) -> None:
        self.site = self
        self.held_bytes = 0
        self.phase_since = 0.0
        self.calls: list[Call] = []

    def received(self, call: Call) -> None:
        self.calls.append(call)

    def tunnel(self, call: Call, lines: object) -> None:
        return

    def read(self) -> list[tuple[bytes, bytes, str | None]]:
        return [
            (call.target, call.body, call.refusal[0] if call.refusal else None)
            for call in self.calls
        ]


def fed(*pieces: bytes) -> list[tuple[bytes, bytes, str | None]]:
    client = Client()
    intake = Intake(cast(Any, client), IntakeLimits(), lambda: 0.0)
    for piece in pieces:
        if not intake.deaf:
            intake.feed(piece)
    return client.read()


@given(
    chosen=st.lists(st.tuples(st.sampled_from(HEADS), st.sampled_from(BODIES)), max_size=8),
    cuts=st.lists(st.integers(0, 10**6), max_size=10),
)
@settings(deadline=None)
def test_cuts_and_repeats_change_nothing(
    chosen: list[tuple[bytes, bytes]], cuts: list[int]
) -> None:
    requests = [head % len(body) + body for head, body in chosen]
    stream = b"".join(requests)
    expected = [(head.split()[1], body, None) for head, body in chosen]
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    pieces = [stream[a:b] for a, b in pairwise(places) if a < b]
    assert fed(*pieces) == expected
    assert fed(*requests) == expected


@pytest.mark.parametrize(
    "length", [b"+3", b"-3", b"0x3", b"3,3", b"", b"3\r\nContent-Length: 3", b"\xb23", b"3\x00"]
)
def test_what_is_no_length_is_refused_behind_a_known_head_too(length: bytes) -> None:
    wrong = KNOWN.replace(b"Length: 3", b"Length: " + length)
    first, second = fed(KNOWN, wrong)
    assert first[1:] == (b"abc", None)
    assert second[2] == "bad-request"


def test_a_length_over_the_limit_is_refused_behind_a_known_head_too() -> None:
    large = HEADS[0] % (IntakeLimits().body_bytes_max + 1)
    assert fed(KNOWN, large)[1][2] == "request-too-large"


@pytest.mark.parametrize(
    "extra", [b"Connection: close", b"Expect: 100-continue", b"Transfer-Encoding: chunked"]
)
def test_a_head_with_more_in_it_is_not_the_known_one(extra: bytes) -> None:
    more = KNOWN.replace(b"Host: a\r\n", b"Host: a\r\n" + extra + b"\r\n")
    client = Client()
    client.expected = lambda call: True  # type: ignore[attr-defined]
    intake = Intake(cast(Any, client), IntakeLimits(), lambda: 0.0)
    intake.feed(KNOWN)
    intake.feed(more)
    _, second = client.calls
    assert second.refusal is not None or second.close or b"expect" in second.headers
