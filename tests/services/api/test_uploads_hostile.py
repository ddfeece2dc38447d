"""Uploads that break off, lie, crawl, collide or do not fit: clear errors, and nothing is left."""

import contextlib
import os
import resource
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.api.blobs_receiving import CHUNK_BYTES
from tests.services.api.store_process import RAW, StoreApi, digest, running, until

MIB = 1024 * 1024
UPLOADS_MAX = 3
CHUNK_SECONDS_MAX = 1.0


@pytest.fixture(scope="module")
def api() -> Iterator[StoreApi]:
    with running(
        collect_seconds=0.1,
        uploads_kept_seconds=60,
        uploads_max=UPLOADS_MAX,
        chunk_seconds_max=CHUNK_SECONDS_MAX,
    ) as found:
        yield found


Begun = Callable[..., socket.socket]


@pytest.fixture
def begun() -> Iterator[Begun]:
    """Clients that say they send all, and have sent so much; closed afterwards."""
    with contextlib.ExitStack() as clients:
        yield lambda *given: clients.enter_context(contextlib.closing(_begun(*given)))


def _begun(api: StoreApi, data: bytes, sent: int, *headers: str) -> socket.socket:
    client = api.connect()
    lines = [
        f"PUT /v1/blobs/{digest(data)} HTTP/1.1", "Host: 127.0.0.1", f"Content-Type: {RAW}",
        *(headers or (f"Content-Length: {len(data)}",)), "", "",
    ]  # fmt: skip
    client.sendall("\r\n".join(lines).encode() + data[:sent])
    return client


def answer(client: socket.socket) -> bytes:
    received = b""
    while b"\r\n\r\n" not in received and (some := client.recv(65536)):
        received += some
    client.close()
    return received


def arrived(api: StoreApi, data: bytes) -> int:
    reply = api.request("HEAD", f"/v1/blobs/{digest(data)}")
    return int(reply.headers.get("Cellnode-Received-Bytes", -1))


def random_bytes(size: int) -> bytes:
    return os.urandom(size)


def test_a_blob_that_is_not_what_its_name_says_is_not_kept(api: StoreApi) -> None:
    sha256 = digest(b"something else")

    reply = api.put_blob(b"not what it says", sha256)

    assert (reply.status, reply.code) == (422, "digest-mismatch")
    assert not api.partial(sha256).exists()
    assert not api.blob(sha256).exists()


def test_pieces_that_do_not_fit_together_are_not_kept(api: StoreApi) -> None:
    data = b"first and second"
    api.put_piece(digest(data), b"FIRST", 0, len(data))

    reply = api.put_piece(digest(data), data[5:], 5, len(data))

    assert (reply.status, reply.code) == (422, "digest-mismatch")
    assert not api.partial(digest(data)).exists()


@pytest.mark.parametrize(
    "name",
    ["x", "A" * 64, "a" * 63, "a" * 65, "..", "..%2f..%2fetc%2fpasswd", "%2e%2e%2f" + "a" * 61,
     "a" * 60 + "%00aa", "a" * 60 + "/../", "uploads", "a" * 63 + "%0a", "%c3%a4" * 32],
)  # fmt: skip
@pytest.mark.parametrize("method", ["PUT", "GET"])
def test_what_is_no_digest_reaches_no_file(api: StoreApi, method: str, name: str) -> None:
    before = api.files()

    body = b"x" if method == "PUT" else None
    reply = api.request(method, f"/v1/blobs/{name}", body, {"Content-Type": RAW})

    assert reply.status in (400, 404, 422), reply.body
    assert api.files() == before


def test_what_cannot_fit_is_refused_before_it_comes(api: StoreApi, begun: Begun) -> None:
    data = random_bytes(10)
    for said in (10**14, 10**18):
        reply = answer(begun(api, data, 5, f"Content-Length: {said}"))
        assert reply.startswith(b"HTTP/1.1 507 "), reply
    last = 10**14
    piece = answer(begun(api, data, 0, f"Content-Range: bytes 0-{last - 1}/{last}"))

    assert piece.startswith((b"HTTP/1.1 507 ", b"HTTP/1.1 400 ")), piece
    assert not api.partial(digest(data)).exists()


@pytest.mark.parametrize(
    "given",
    ["bytes 0-9", "bytes 0-9/*", "bytes 5-4/10", "bytes 0-10/10", "bytes */10", "0-9/10",
     "bytes 0-8/10", "bytes -1-9/10", "bytes 0-9999999999999999/10"],
)  # fmt: skip
def test_a_content_range_that_means_nothing_is_refused(api: StoreApi, given: str) -> None:
    data = random_bytes(10)

    reply = api.put_blob(data, Content_Range=given)

    assert (reply.status, reply.code, reply.json["field"]) == (
        422, "invalid-field", "Content-Range",
    )  # fmt: skip
    assert not api.partial(digest(data)).exists()


@pytest.mark.parametrize("came", [4, 20])
def test_a_piece_of_another_size_than_it_says_is_forgotten(api: StoreApi, came: int) -> None:
    data = random_bytes(30)
    api.put_piece(digest(data), data[:10], 0, 30)

    headers = {"Content-Type": RAW, "Content-Range": "bytes 10-19/30"}
    path = f"/v1/blobs/{digest(data)}"
    reply = api.request("PUT", path, iter([data[10 : 10 + came]]), headers)

    assert (reply.status, reply.code) == (400, "bad-request")
    assert arrived(api, data) == 10
    assert api.put_piece(digest(data), data[10:], 10, 30).status == 201


def test_an_upload_whose_client_went_is_gone_on_with(api: StoreApi, begun: Begun) -> None:
    data = random_bytes(3 * MIB)
    client = begun(api, data, 2 * MIB)
    until(lambda: arrived(api, data) >= MIB)
    client.close()
    until(
        lambda: "piece starts" in api.put_piece(digest(data), data[1:], 1, len(data)).body.decode()
    )

    received = arrived(api, data)
    reply = api.put_piece(digest(data), data[received:], received, len(data))

    assert MIB <= received < len(data)
    assert reply.status == 201
    assert api.blob(digest(data)).read_bytes() == data


def test_an_upload_that_crawls_is_cut_off_and_gone_on_with(api: StoreApi, begun: Begun) -> None:
    data = random_bytes(2 * CHUNK_BYTES)
    began = time.monotonic()
    client = begun(api, data, CHUNK_BYTES + 10)

    reply = answer(client)

    assert reply.startswith(b"HTTP/1.1 408 ")
    assert CHUNK_SECONDS_MAX <= time.monotonic() - began < CHUNK_SECONDS_MAX + 5
    assert arrived(api, data) == CHUNK_BYTES
    rest = api.put_piece(digest(data), data[CHUNK_BYTES:], CHUNK_BYTES, len(data))
    assert rest.status == 201


def test_of_two_who_send_the_same_the_second_is_told_so(api: StoreApi, begun: Begun) -> None:
    data = random_bytes(2 * MIB)
    first = begun(api, data, MIB)
    until(lambda: arrived(api, data) > 0)

    second = api.put_blob(data)
    first.sendall(data[MIB:])

    assert (second.status, second.code) == (409, "upload-conflict")
    assert "under way" in second.json["detail"]
    assert answer(first).startswith(b"HTTP/1.1 201 ")
    assert api.put_blob(data).status == 200


def test_only_so_many_are_received_at_once(api: StoreApi, begun: Begun) -> None:
    blobs = [random_bytes(MIB) for _ in range(UPLOADS_MAX)]
    clients = [begun(api, data, CHUNK_BYTES) for data in blobs]
    until(lambda: all(arrived(api, data) > 0 for data in blobs))

    refused = api.put_blob(b"one more")
    for client, data in zip(clients, blobs, strict=True):
        client.sendall(data[CHUNK_BYTES:])

    assert (refused.status, refused.code) == (503, "too-many-streams")
    assert refused.headers["Retry-After"]
    assert all(answer(client).startswith(b"HTTP/1.1 201 ") for client in clients)
    assert api.put_blob(b"one more").status == 201


def test_an_upload_outlives_the_death_of_the_api(begun: Begun) -> None:
    data = random_bytes(4 * MIB)
    with running() as api:
        client = begun(api, data, 3 * MIB)
        until(lambda: arrived(api, data) >= 2 * MIB)

        api.kill()
        client.close()
        api.start()

        received = arrived(api, data)
        assert 2 * MIB <= received <= 3 * MIB
        assert api.request("GET", f"/v1/blobs/{digest(data)}").status == 404
        assert api.put_piece(digest(data), data[received:], received, len(data)).status == 201
        assert api.files() == {f"blobs/{digest(data)[:2]}/{digest(data)}"}


def test_a_full_store_says_so_keeps_nothing_of_it_and_recovers(api: StoreApi) -> None:
    data = random_bytes(4 * MIB)
    pid = api.process.pid
    limit = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (2 * MIB, limit[1]))
    try:
        reply = api.put_blob(data)
        small = api.put_blob(data[:MIB])
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, limit)

    assert (reply.status, reply.code) == (507, "store-full")
    assert small.status == 201
    assert not api.partial(digest(data)).exists()
    assert api.put_blob(data).status == 201


def test_pieces_that_nobody_goes_on_with_are_removed(api: StoreApi, begun: Begun) -> None:
    old, fresh, busy = (random_bytes(MIB) for _ in range(3))
    for data in (old, fresh):
        api.put_piece(digest(data), data[:10], 0, len(data))
    client = begun(api, busy, CHUNK_BYTES)
    until(lambda: arrived(api, busy) > 0)

    for data in (old, busy):
        os.utime(api.partial(digest(data)), (0, 0))

    until(lambda: not api.partial(digest(old)).exists())
    assert api.partial(digest(fresh)).exists()
    client.sendall(busy[CHUNK_BYTES:])
    assert answer(client).startswith(b"HTTP/1.1 201 ")


def test_a_store_that_cannot_be_written_is_said_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("a file where a directory should be")
    api = StoreApi(tmp_path / "store", "redis://127.0.0.1:1/0")
    try:
        reply = api.put_blob(b"nowhere to go")
        asked = api.request("GET", "/v1/pins")
    finally:
        api.kill()

    assert (reply.status, reply.code) == (503, "store-unavailable")
    assert str(tmp_path / "store") in reply.json["remedy"]
    assert asked.status in (200, 503)


@pytest.mark.full
@pytest.mark.timeout(300)
def test_a_large_blob_costs_no_memory(tmp_path: Path) -> None:
    size = 2 * 1024 * MIB
    source = tmp_path / "large"
    subprocess.run(["dd", "if=/dev/zero", f"of={source}", "bs=1M", "count=2048"], check=True)
    sha256 = subprocess.run(["sha256sum", source], check=True, capture_output=True).stdout[:64]
    with running() as api, source.open("rb") as file:
        headers = {"Content-Type": RAW, "Content-Length": str(size)}
        reply = api.request("PUT", f"/v1/blobs/{sha256.decode()}", file, headers)
        status = Path(f"/proc/{api.process.pid}/status").read_text()

    peak_kib = int(status.partition("VmHWM:")[2].split()[0])
    assert reply.status == 201
    assert peak_kib < 100 * 1024
