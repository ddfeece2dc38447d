"""Blobs over HTTP: whole, in pieces, told missing, read back; half-written ones are never seen."""

import os
from collections.abc import Iterator
from http.client import HTTPConnection, IncompleteRead

import pytest

from schemas.http import RECEIVED_BYTES_HEADER
from tests.services.api.store_process import JSON, StoreApi, digest, running

HELLO = b"hello, store"
EMPTY = digest(b"")


@pytest.fixture(scope="module")
def api() -> Iterator[StoreApi]:
    with running() as found:
        yield found


def test_a_blob_is_taken_once_and_read_back(api: StoreApi) -> None:
    first = api.put_blob(HELLO)
    second = api.put_blob(HELLO)
    found = api.request("GET", f"/v1/blobs/{digest(HELLO)}")

    assert (first.status, second.status) == (201, 200)
    assert first.json == {"sha256": digest(HELLO), "bytes": 12, "received_bytes": 12}
    assert (found.body, found.headers["Content-Type"]) == (HELLO, "application/octet-stream")
    assert api.blob(digest(HELLO)).read_bytes() == HELLO
    assert api.blob(digest(HELLO)).stat().st_mode & 0o777 == 0o444


def test_the_head_of_a_blob_tells_its_size(api: StoreApi) -> None:
    api.put_blob(HELLO)

    reply = api.request("HEAD", f"/v1/blobs/{digest(HELLO)}")

    assert (reply.status, reply.headers["Content-Length"], reply.body) == (200, "12", b"")


@pytest.mark.parametrize(
    ("wanted", "body", "told"),
    [
        ("bytes=0-4", b"hello", "bytes 0-4/12"),
        ("bytes=7-", b"store", "bytes 7-11/12"),
        ("bytes=-5", b"store", "bytes 7-11/12"),
        ("bytes=7-999", b"store", "bytes 7-11/12"),
    ],
)
def test_a_range_of_a_blob_is_sent(api: StoreApi, wanted: str, body: bytes, told: str) -> None:
    api.put_blob(HELLO)

    reply = api.request("GET", f"/v1/blobs/{digest(HELLO)}", headers={"Range": wanted})

    assert (reply.status, reply.body, reply.headers["Content-Range"]) == (206, body, told)


@pytest.mark.parametrize("wanted", ["bytes=x", "bytes=-", "lines=1-2", "bytes=0-1,3-4"])
def test_a_range_that_is_not_understood_is_ignored(api: StoreApi, wanted: str) -> None:
    api.put_blob(HELLO)

    reply = api.request("GET", f"/v1/blobs/{digest(HELLO)}", headers={"Range": wanted})

    assert (reply.status, reply.body) == (200, HELLO)


@pytest.mark.parametrize("wanted", ["bytes=12-", "bytes=5-4", "bytes=-0"])
def test_bytes_that_a_blob_has_not_are_refused(api: StoreApi, wanted: str) -> None:
    api.put_blob(HELLO)

    reply = api.request("GET", f"/v1/blobs/{digest(HELLO)}", headers={"Range": wanted})

    assert (reply.status, reply.code) == (416, "range-not-satisfiable")
    assert reply.headers["Content-Range"] == "bytes */12"


def test_a_large_blob_comes_back_as_it_was(api: StoreApi) -> None:
    data = bytes(range(256)) * 20_000

    assert api.put_blob(data).status == 201
    assert api.request("GET", f"/v1/blobs/{digest(data)}").body == data


def test_a_blob_that_cannot_be_read_to_its_end_breaks_the_connection(api: StoreApi) -> None:
    data = bytes(64 * 1024 * 1024)
    api.put_blob(data)
    connection = HTTPConnection("127.0.0.1", api.port, timeout=30)
    connection.request("GET", f"/v1/blobs/{digest(data)}")
    answer = connection.getresponse()

    api.blob(digest(data)).chmod(0o644)
    os.truncate(api.blob(digest(data)), 1024)

    with pytest.raises((IncompleteRead, ConnectionError)):
        answer.read()
    connection.close()


def test_an_empty_blob_is_a_blob(api: StoreApi) -> None:
    assert api.put_blob(b"").status == 201
    assert api.request("GET", f"/v1/blobs/{EMPTY}").body == b""


def test_a_body_without_a_length_is_taken_too(api: StoreApi) -> None:
    parts = [b"so ", b"many ", b"chunks"]

    reply = api.request("PUT", f"/v1/blobs/{digest(b''.join(parts))}", iter(parts))

    assert (reply.status, reply.json["bytes"]) == (201, 14)


def test_pieces_make_a_blob_and_nothing_is_seen_before_the_last(api: StoreApi) -> None:
    data = b"one piece, two pieces"
    sha256 = digest(data)

    first = api.put_piece(sha256, data[:9], 0, len(data))
    meanwhile = api.request("GET", f"/v1/blobs/{sha256}")
    last = api.put_piece(sha256, data[9:], 9, len(data))

    assert (first.status, first.json["received_bytes"], first.json["bytes"]) == (202, 9, 21)
    assert (meanwhile.status, meanwhile.code) == (404, "blob-unknown")
    assert meanwhile.headers[RECEIVED_BYTES_HEADER] == "9"
    assert last.status == 201
    assert api.request("GET", f"/v1/blobs/{sha256}").body == data
    assert not api.partial(sha256).exists()


@pytest.mark.parametrize("start", [0, 3, 5])
def test_a_piece_must_start_where_the_one_before_ended(api: StoreApi, start: int) -> None:
    data = b"not in order %d" % start
    api.put_piece(digest(data), data[:4], 0, len(data))

    reply = api.put_piece(digest(data), data[start:], start, len(data))

    assert (reply.status, reply.code) == (409, "upload-conflict")
    assert reply.json["received_bytes"] == 4
    assert api.put_piece(digest(data), data[4:], 4, len(data)).status == 201


def test_a_first_piece_that_is_no_beginning_leaves_nothing(api: StoreApi) -> None:
    data = b"from the middle"

    reply = api.put_piece(digest(data), data[4:], 4, len(data))

    assert (reply.status, reply.json["received_bytes"]) == (409, 0)
    assert not api.partial(digest(data)).exists()


def test_the_whole_blob_may_be_sent_where_pieces_were_begun(api: StoreApi) -> None:
    data = b"begun in pieces"
    api.put_piece(digest(data), b"wrong!", 0, len(data))

    assert api.put_blob(data).status == 201


def test_what_is_missing_is_told_with_what_has_arrived(api: StoreApi) -> None:
    here, half, none = b"here", b"half of it", b"none of it"
    api.put_blob(here)
    api.put_piece(digest(half), half[:4], 0, len(half))
    asked = [{"sha256": digest(data), "bytes": len(data)} for data in (here, half, none)]

    reply = api.send_json("POST", "/v1/blobs:missing", {"blobs": asked})

    assert reply.json == {
        "missing": [
            {"sha256": digest(half), "bytes": 10, "received_bytes": 4},
            {"sha256": digest(none), "bytes": 10, "received_bytes": 0},
        ]
    }


def test_a_blob_that_was_cut_short_on_the_disk_is_missing_and_mended(api: StoreApi) -> None:
    data = b"whole once"
    api.put_blob(data)
    path = api.blob(digest(data))
    path.chmod(0o644)
    path.write_bytes(data[:3])
    asked = {"blobs": [{"sha256": digest(data), "bytes": len(data)}]}

    assert len(api.send_json("POST", "/v1/blobs:missing", asked).json["missing"]) == 1
    assert api.put_blob(data).status == 201
    assert path.read_bytes() == data


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({"blobs": [{"sha256": "x" * 64, "bytes": 1}]}, "sha256"),
        ({"blobs": [{"sha256": EMPTY, "bytes": -1}]}, "bytes"),
        ({"blobs": [{"sha256": EMPTY, "bytes": 0}] * 10_001}, "blobs"),
        ({}, "blobs"),
    ],
)
def test_a_wrong_list_of_blobs_is_refused(
    api: StoreApi, document: dict[str, object], field: str
) -> None:
    reply = api.send_json("POST", "/v1/blobs:missing", document)

    assert (reply.status, reply.code) == (422, "invalid-field")
    assert field in reply.json["field"]


def test_a_blob_comes_as_bytes_and_as_nothing_else(api: StoreApi) -> None:
    as_json = api.put_blob(HELLO + b"!", Content_Type=JSON)
    packed = api.put_blob(HELLO + b"!", Content_Encoding="gzip")

    assert (as_json.status, packed.status) == (415, 415)
