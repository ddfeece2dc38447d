"""The log of an instance over HTTP: its end, what follows a position, and waiting for more."""

import threading
import time

import pytest

from runtime import log_reading as limits
from schemas.http import LOG_LOST_HEADER, LOG_POSITION_HEADER
from tests.runtime.instances import Answer, Instances, RunningInstance, until

LOST = LOG_LOST_HEADER.lower()
PRINTS = "import sys\nsys.stdout.write(text)\nsys.stdout.flush()"


@pytest.fixture
def talker(instances: Instances) -> RunningInstance:
    """An instance that prints what it is given."""
    return instances.start(PRINTS, inputs=["text"]).ready()


def read(instance: RunningInstance, query: str = "") -> Answer:
    return instance.request("GET", f"/logs?{query}")


def position(answer: Answer) -> str:
    return str(answer.headers[LOG_POSITION_HEADER.lower()])


def say(instance: RunningInstance, text: str) -> None:
    instance.output({"text": text})


def gathered(instance: RunningInstance, after: str, size: int) -> bytes:
    """So many bytes that follow a position, or more."""
    text = b""
    while len(text) < size:
        answer = read(instance, f"after={after}&wait_ms=10000")
        assert answer.body, "nothing came"
        text, after = text + answer.body, position(answer)
    return text


def test_the_last_lines_are_told(talker: RunningInstance) -> None:
    say(talker, "one\ntwo\nthree\nfo")
    until(lambda: b"fo" in read(talker).body)

    assert read(talker, "tail=3").body == b"two\nthree\nfo"
    assert read(talker, "tail=0").body == b""


def test_who_waits_is_told_the_next_line_at_once(talker: RunningInstance) -> None:
    start = position(read(talker))
    timer = threading.Timer(0.2, say, (talker, "news\n"))
    timer.start()
    began = time.monotonic()

    answer = read(talker, f"after={start}&wait_ms=20000")

    assert answer.body == b"news\n"
    assert 0.2 <= time.monotonic() - began < 5
    timer.join()


def test_a_line_is_held_back_until_it_ends_or_the_wait_is_over(talker: RunningInstance) -> None:
    start = position(read(talker))
    say(talker, "whole\nhal")
    until(lambda: b"hal" in read(talker).body)

    first = read(talker, f"after={start}&wait_ms=20000")
    second = read(talker, f"after={position(first)}&wait_ms=100")

    assert (first.body, second.body) == (b"whole\n", b"hal")
    assert read(talker, f"after={position(second)}&wait_ms=10").body == b""


def test_nothing_is_missed_or_told_twice_when_the_log_is_rotated(talker: RunningInstance) -> None:
    start = position(read(talker))
    lines = [f"{number:07d} {'x' * 90}\n" for number in range(120_000)]

    for some in range(0, len(lines), 30_000):
        say(talker, "".join(lines[some : some + 30_000]))

    wanted = "".join(lines).encode()
    assert gathered(talker, start, len(wanted)) == wanted
    assert (talker.directory / "log.1").exists()


def test_who_comes_too_late_is_told_so_and_given_the_oldest(talker: RunningInstance) -> None:
    start = position(read(talker))
    for _ in range(3):
        say(talker, "y" * 99 + "\n" + ("x" * 99 + "\n") * 85_000)

    late = read(talker, f"after={start}")

    assert late.headers[LOST] == "true"
    assert late.body.startswith((b"x", b"y"))
    assert len(late.body) == limits.ANSWER_BYTES_MAX
    assert LOST not in read(talker, f"after={position(late)}").headers


@pytest.mark.parametrize(
    "query",
    ["after=1", "after=x.1", "after=1.-1", "after=0." + "9" * 30, "tail=-1", "tail=x", "wait_ms=x"],
)
def test_a_wrong_parameter_is_refused_by_name(shared_doubler: RunningInstance, query: str) -> None:
    answer = read(shared_doubler, query)

    assert answer.status == 400
    assert answer.json["detail"].startswith(query.partition("=")[0])


def test_only_so_many_may_wait_and_those_who_go_make_room(
    shared_doubler: RunningInstance,
) -> None:
    start = position(read(shared_doubler))
    request = f"GET /logs?after={start}&wait_ms=30000 HTTP/1.1\r\nHost: i\r\n\r\n".encode()
    clients = [shared_doubler.connect() for _ in range(limits.READERS_MAX)]
    for client in clients:
        client.sendall(request)

    until(lambda: read(shared_doubler, f"after={start}&wait_ms=1").status == 503)
    for client in clients:
        client.close()

    until(lambda: read(shared_doubler, f"after={start}&wait_ms=1").status == 200)
    assert shared_doubler.output({"x": [2]}) == {"y": [4]}
