"""HTTP on an instance's socket: strict, pipelined, every size and wait limited by name."""

import contextlib
import random
import socket
import time

import pytest

from runtime import connection as limits
from tests.runtime.instances import Instances, RunningInstance, raw_execute, until

BODY = b'{"input": {"x": [1]}}'
EXECUTE = raw_execute(BODY)
HEAD = b"POST /execute HTTP/1.1\r\nHost: i\r\n"


def all_of(client: socket.socket) -> bytes:
    """Everything until the other side closes."""
    received = b""
    while chunk := client.recv(65536):
        received += chunk
    return received


def some_of(client: socket.socket, count: int) -> bytes:
    """Until so many answers have come whole."""
    received = b""
    while received.count(b"HTTP/1.1 ") < count or not received.endswith(b"}"):
        chunk = client.recv(65536)
        assert chunk, received
        received += chunk
    return received


def test_pipelined_requests_are_answered_in_order(shared_doubler: RunningInstance) -> None:
    client = shared_doubler.connect()
    many = [b'{"input": {"x": [%d]}}' % n for n in range(12)]

    client.sendall(b"".join(map(raw_execute, many)) + b"GET /livez HTTP/1.1\r\nHost: i\r\n\r\n")

    received = some_of(client, 13)
    places = [received.index(b'{"output":{"y":[%d]}}' % (n * 2)) for n in range(12)]
    assert places == sorted(places)
    assert received.rindex(b"HTTP/1.1 200 OK") > places[-1]
    client.close()


def test_a_request_may_come_byte_by_byte(shared_doubler: RunningInstance) -> None:
    client = shared_doubler.connect()

    for position in range(len(EXECUTE)):
        client.sendall(EXECUTE[position : position + 1])

    assert b'{"output":{"y":[2]}}' in some_of(client, 1)
    client.close()


def test_a_body_may_come_in_chunks(shared_doubler: RunningInstance) -> None:
    client = shared_doubler.connect()
    chunks = b"%x\r\n%b\r\n" % (10, BODY[:10]) + b"%x\r\n%b\r\n" % (len(BODY) - 10, BODY[10:])

    client.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\n\r\n")

    assert b'{"output":{"y":[2]}}' in some_of(client, 1)
    client.close()


def test_a_body_may_be_sent_after_it_is_asked_for(shared_doubler: RunningInstance) -> None:
    client = shared_doubler.connect()
    head, _, body = raw_execute(BODY, b"Expect: 100-continue").partition(b"\r\n\r\n")

    client.sendall(head + b"\r\n\r\n")
    assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.sendall(body)

    assert b'{"output":{"y":[2]}}' in some_of(client, 1)
    client.close()


def test_a_body_that_is_too_large_is_not_asked_for(shared_doubler: RunningInstance) -> None:
    client = shared_doubler.connect()

    client.sendall(HEAD + b"Content-Length: 16777217\r\nExpect: 100-continue\r\n\r\n")

    assert all_of(client).startswith(b"HTTP/1.1 413 ")
    client.close()


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}", 400),
        (HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400),
        (HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
        (HEAD + b"Content-Length: +2\r\n\r\n{}", 400),
        (HEAD + b"Content-Length: 2, 2\r\n\r\n{}", 400),
        (HEAD + b"Content-Length: -1\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        (HEAD + b"Host: other\r\n\r\n", 400),
        (HEAD + b"A : b\r\n\r\n", 400),
        (HEAD + b"A: b\n c\r\n\r\n", 400),
        (HEAD + b"A: b\x00c\r\n\r\n", 400),
        (HEAD + b"Cellnode-Timeout-Ms: soon\r\n\r\n", 400),
        (b"GET /phase HTTP/1.1\r\nHost: i\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 400),
        (HEAD + b"Content-Length: 16777217\r\n\r\n", 413),
        (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\n\r\n", 414),
        (HEAD + b"A: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        (HEAD + b"A: b\r\n" * 100 + b"\r\n", 431),
    ],
)
def test_a_message_that_breaks_the_rules_is_refused_and_the_connection_closed(
    shared_doubler: RunningInstance, request_bytes: bytes, status: int
) -> None:
    client = shared_doubler.connect()

    client.sendall(request_bytes + EXECUTE)
    received = all_of(client)

    assert received.startswith(b"HTTP/1.1 %d " % status)
    assert received.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close\r\n" in received
    client.close()
    assert shared_doubler.execute({"x": [1]}).status == 200


def test_an_unfinished_header_is_not_kept_beyond_its_limit(
    shared_doubler: RunningInstance,
) -> None:
    client = shared_doubler.connect()
    client.sendall(HEAD + b"A: ")
    sent = 0

    with pytest.raises((BrokenPipeError, ConnectionResetError)):  # noqa: PT012
        while sent < 50 * limits.HEADER_BYTES_MAX:
            client.sendall(b"a" * 1024)
            sent += 1024
            time.sleep(0.005)

    client.close()


@pytest.mark.full
def test_a_slow_header_is_cut_off(instances: Instances) -> None:
    instance = instances.start("y = 1").ready()
    client = instance.connect()
    began = time.monotonic()

    client.sendall(HEAD)
    received = all_of(client)

    assert received.startswith(b"HTTP/1.1 408 ")
    assert limits.HEADER_SECONDS_MAX <= time.monotonic() - began < limits.HEADER_SECONDS_MAX + 5
    client.close()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/execute", 405), ("POST", "/phase", 405), ("GET", "/", 404), ("PUT", "/x", 404),
     ("GET", "/phase?after=x", 400), ("GET", "/phase?wait_ms=-1", 400)],
)  # fmt: skip
def test_a_wrong_path_or_method_is_refused(
    shared_doubler: RunningInstance, method: str, path: str, status: int
) -> None:
    assert shared_doubler.request(method, path).status == status


def test_connection_close_is_obeyed(shared_doubler: RunningInstance) -> None:
    client = shared_doubler.connect()

    client.sendall(raw_execute(BODY, b"Connection: close") + EXECUTE)
    received = all_of(client)

    assert received.count(b"HTTP/1.1 ") == 1
    assert b"Connection: close\r\n" in received
    client.close()


def test_a_client_that_does_not_read_is_no_ones_loss(instances: Instances) -> None:
    cell = "y = 'a' * 2_000_000"
    instance = instances.start(cell, outputs=["y"]).ready()
    client = instance.connect()

    client.sendall(raw_execute(b'{"input": {}}') * 4)

    assert instance.request("GET", "/livez").status == 200
    assert len(instance.output()["y"]) == 2_000_000
    assert len(some_of(client, 4)) > 8_000_000
    client.close()


def test_more_connections_than_the_maximum_are_turned_away(instances: Instances) -> None:
    from runtime.life import CONNECTIONS_MAX

    instance = instances.start("y = 1", outputs=["y"]).ready()
    clients = [instance.connect() for _ in range(CONNECTIONS_MAX + 20)]

    turned = [client for client in clients if not is_open(client)]

    assert len(turned) == 20
    for client in clients:
        client.close()
    until(lambda: is_taken(instance))
    assert instance.output() == {"y": 1}


def is_taken(instance: RunningInstance) -> bool:
    with instance.connect() as client:
        return is_open(client)


def is_open(client: socket.socket) -> bool:
    try:
        client.sendall(b"GET /livez HTTP/1.1\r\nHost: i\r\n\r\n")
        return bool(client.recv(1000))
    except (BrokenPipeError, ConnectionResetError):
        return False


ORIGINALS = [
    EXECUTE,
    b"GET /phase?after=1&wait_ms=5 HTTP/1.1\r\nHost: i\r\n\r\n",
    HEAD + b"Transfer-Encoding: chunked\r\n\r\n15\r\n" + BODY + b"\r\n0\r\n\r\n",
    raw_execute(BODY, b"Expect: 100-continue", b"Connection: close"),
    b"GET /metrics HTTP/1.0\r\n\r\n",
]
INSERTED = [b"\r\n", b"\0", b" ", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n"]


def mutant(dice: random.Random) -> bytes:
    """A few messages with a few mistakes in them."""
    raw = bytearray(b"".join(dice.choices(ORIGINALS, k=dice.randint(1, 4))))
    for _ in range(dice.randint(1, 4)):
        place = dice.randrange(len(raw))
        raw[place : place + dice.randint(0, 3)] = dice.choice([*INSERTED, dice.randbytes(2)])
    return bytes(raw)


def test_an_agent_survives_whatever_comes(instances: Instances) -> None:
    instance = instances.start("y = [v * 2 for v in x]", inputs=["x"], outputs=["y"]).ready()
    dice = random.Random(2026)

    for _ in range(400):
        with instance.connect() as client, contextlib.suppress(OSError):
            client.settimeout(0.01)
            client.sendall(mutant(dice))
            client.recv(65536)

    assert instance.output({"x": [4]}) == {"y": [8]}
    assert instance.phase()["seq"] == 3
    assert "Traceback" not in instance.log()
