"""Uploads to a real api: what lacks and no more, in pieces, going on where they stopped."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import cellnode
from cellnode import Client, NotUploaded, Pin, ServerUnreachable, StoreError
from tests.cellnode.cutting import Way, cuttable
from tests.cellnode.site import problem, serving
from tests.services.api.store_process import StoreApi, free_port, running

PIECE_BYTES = 256 * 1024
BIG_BYTES = 2 * 1024 * 1024


@pytest.fixture(scope="module")
def api() -> Iterator[StoreApi]:
    with running() as found:
        yield found


@pytest.fixture
def way(api: StoreApi) -> Iterator[Way]:
    with cuttable(api.port) as found:
        yield found


@pytest.fixture
def client(way: Way, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setattr("cellnode.uploading.PIECE_BYTES", PIECE_BYTES)
    with Client(way.url) as found:
        yield found


def pinned(folder: Path, name: str = "model", **namespace: Any) -> Pin:
    return cellnode.pin(name, namespace=namespace, store=folder / "store", check=False)


def big() -> bytes:
    return secrets.token_bytes(BIG_BYTES)


def test_only_what_changed_is_moved(tmp_path: Path, client: Client, way: Way) -> None:
    first, second = [big()], [1]
    moved = client.upload(pinned(tmp_path, a=first, b=second))
    sent_before = way.sent_bytes
    again = client.upload(pinned(tmp_path, a=first, b=second))
    of_b = client.upload(pinned(tmp_path, a=first, b=[2]))

    assert moved > BIG_BYTES
    assert again == 0
    assert 0 < of_b < 1000
    assert way.sent_bytes - sent_before < 20_000


def test_the_name_is_put_with_who_and_from_where(tmp_path: Path, client: Client) -> None:
    pin = pinned(tmp_path, "mine", x=1, __file__="train.py")
    client.upload(pin)

    (found,) = [each for each in client.pins() if each.name == "mine"]

    assert (found.digest, found.notebook, bool(found.by)) == (pin.digest, "train.py", True)
    assert client.checkpoint(pin.digest) == pin.manifest
    assert pin.digest in [each.digest for each in client.checkpoints()]


def test_progress_tells_the_bytes_of_all(tmp_path: Path, client: Client) -> None:
    told: list[tuple[int, int]] = []

    moved = client.upload(pinned(tmp_path, a=[big()]), on_upload=lambda *now: told.append(now))

    assert (told[0], told[-1]) == ((0, moved), (moved, moved))
    assert len(told) > BIG_BYTES // PIECE_BYTES
    assert told == sorted(told)


def test_a_connection_that_breaks_costs_no_more_than_a_piece(
    tmp_path: Path, client: Client, way: Way
) -> None:
    pin = pinned(tmp_path, a=[big()])
    way.cut_after_bytes = BIG_BYTES // 2

    moved = client.upload(pin)

    assert way.cuts == 1
    assert way.sent_bytes < moved + 2 * PIECE_BYTES
    assert client.upload(pin) == 0


class Interrupted(Exception):
    """Somebody pressed Ctrl-C."""


def test_an_upload_that_was_ended_goes_on_where_it_was(tmp_path: Path, client: Client) -> None:
    pin = pinned(tmp_path, a=[big()])

    def interrupt(sent: int, _: int) -> None:
        if sent >= 4 * PIECE_BYTES:
            raise Interrupted

    with pytest.raises(Interrupted):
        client.upload(pin, on_upload=interrupt)

    assert client.upload(pin) < BIG_BYTES - 3 * PIECE_BYTES


def test_a_store_that_the_server_shares_moves_nothing(api: StoreApi, client: Client) -> None:
    shared = cellnode.pin("shared", namespace={"a": [big()]}, store=api.store, check=False)

    assert client.upload(shared) == 0


def test_a_blob_that_is_gone_here_is_told(tmp_path: Path, client: Client) -> None:
    pin = pinned(tmp_path, a=[big()])
    for blob in (tmp_path / "store" / "blobs").rglob("*"):
        if blob.is_file():
            blob.unlink()

    with pytest.raises(StoreError, match="is not there; pin again"):
        client.upload(pin)


def test_a_pin_says_whether_the_server_has_it(tmp_path: Path, client: Client) -> None:
    options: dict[str, Any] = {"store": tmp_path / "store", "check": False}

    alone = cellnode.pin("both", namespace={"x": 1}, **options)
    both = cellnode.pin("both", namespace={"x": 1}, client=client, **options)

    assert (alone.uploaded, both.uploaded) == (False, True)


def test_a_pin_for_this_machine_alone_asks_no_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELLNODE_STORE", str(tmp_path))
    with serving(problem("bad-request")) as site:
        monkeypatch.setenv("CELLNODE_URL", site.url)
        assert not cellnode.pin("mine", namespace={"x": 1}, check=False, upload=False).uploaded

    assert site.requests == []


def test_a_server_that_is_away_is_told_only_where_the_pin_must_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELLNODE_URL", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("CELLNODE_STORE", str(tmp_path))

    assert not cellnode.pin("mine", namespace={"x": 1}, check=False).uploaded
    with pytest.raises(ServerUnreachable):
        cellnode.pin("mine", namespace={"x": 1}, check=False, upload=True)


def test_a_server_that_takes_no_pins_is_told_as_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CELLNODE_STORE", str(tmp_path))
    with serving(problem("store-full", detail="no room")) as site:
        monkeypatch.setenv("CELLNODE_URL", site.url)
        with pytest.warns(NotUploaded, match="mine is pinned here, but not on .*: no room") as told:
            assert not cellnode.pin("mine", namespace={"x": 1}, check=False).uploaded

    assert told[0].filename == __file__
