"""Checkpoints over HTTP: put when whole, read byte for byte, listed, removed when unused."""

import os
import time
from collections.abc import Iterator

import pytest
from redis import Redis

from tests.builders import a_node
from tests.services.api.servers import serving_redis
from tests.services.api.store_process import JSON, StoreApi, digest, manifest, running, until
from tests.services.gateway.projecting import Projecting

DAY_SECONDS = 86_400


@pytest.fixture(scope="module")
def redis_url() -> Iterator[str]:
    with serving_redis() as redis:
        yield redis.url


@pytest.fixture(scope="module")
def projecting(redis_url: str) -> Iterator[Projecting]:
    with Redis.from_url(redis_url) as redis:
        writer = Projecting(redis)
        writer.publish_empty()
        yield writer


@pytest.fixture(scope="module")
def api(redis_url: str, projecting: Projecting) -> Iterator[StoreApi]:
    with running(redis_url, collect_seconds=0.1) as found:
        yield found


def put_manifest(api: StoreApi, raw: bytes, named: str = "") -> tuple[int, str]:
    path = f"/v1/checkpoints/{named or digest(raw)}"
    reply = api.request("PUT", path, raw, {"Content-Type": JSON})
    return reply.status, reply.json.get("code", "")


def age(api: StoreApi, *blobs: bytes) -> None:
    """As if nobody had wanted them for more than a day."""
    at = time.time() - DAY_SECONDS - 60
    for blob in blobs:
        os.utime(api.blob(digest(blob)), (at, at))


def test_a_manifest_is_taken_when_its_blobs_are_there(api: StoreApi) -> None:
    raw = manifest(b"one", b"two")

    before = api.request("PUT", f"/v1/checkpoints/{digest(raw)}", raw, {"Content-Type": JSON})
    name = api.put_checkpoint(b"one", b"two")
    found = api.request("GET", f"/v1/checkpoints/{name}")

    assert (before.status, before.code) == (409, "blobs-missing")
    assert before.json["missing"][0] == {
        "sha256": digest(b"one"), "bytes": 3, "received_bytes": 0,
    }  # fmt: skip
    assert (found.body, found.headers["Content-Type"]) == (raw, JSON)
    assert (api.store / "checkpoints" / f"{name}.json").read_bytes() == raw
    assert put_manifest(api, raw) == (200, "")


def test_a_blob_of_another_size_is_a_missing_one(api: StoreApi) -> None:
    api.put_blob(b"three")
    blob = {"sha256": digest(b"three"), "bytes": 6}
    raw = manifest(groups=[{"blob": blob, "buffers": []}])

    assert put_manifest(api, raw) == (409, "blobs-missing")


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "invalid-field"),
        (b"[]", "invalid-field"),
        (b"{", "invalid-field"),
        (manifest(format=2), "invalid-field"),
        (manifest() + b"\n", "invalid-field"),
        (manifest(packages={"a": 1}), "invalid-field"),
        (manifest(python={"version": "3.11"}), "invalid-field"),
        (manifest(packages={"a": "1"}, later=[{"b": 1.5}]), "invalid-field"),
        (b"[" * 100_000, "invalid-field"),
    ],
)
def test_what_is_no_manifest_is_refused(api: StoreApi, raw: bytes, code: str) -> None:
    assert put_manifest(api, raw) == (422, code)
    assert api.request("GET", f"/v1/checkpoints/{digest(raw)}").status == 404


def test_a_manifest_under_another_name_is_refused(api: StoreApi) -> None:
    assert put_manifest(api, manifest(), "0" * 64) == (422, "digest-mismatch")
    assert put_manifest(api, manifest(), "..%2fx")[0] in (404, 422)


def test_checkpoints_are_listed_the_newest_first_page_by_page(api: StoreApi) -> None:
    names = [api.put_checkpoint(b"blob %d" % number) for number in range(5)]
    seen, after = [], ""

    while after is not None:
        page = api.request("GET", f"/v1/checkpoints?limit=2&after={after}").json
        seen += page["checkpoints"]
        after = page["next"]

    assert [one["digest"] for one in seen if one["digest"] in names] == names[::-1]
    assert (seen[0]["bytes"], seen[0]["variables"], seen[0]["python"]) == (6, ["v0"], "3.11.7")


@pytest.mark.parametrize("after", ["x", "1-x", "-" + "a" * 64, "9" * 400 + "-" + "a" * 64])
def test_a_page_after_nothing_known_is_refused_or_empty(api: StoreApi, after: str) -> None:
    reply = api.request("GET", f"/v1/checkpoints?after={after}")

    assert reply.status == 200 or (reply.code, reply.json["field"]) == ("invalid-field", "after")


def test_a_removed_checkpoint_frees_what_nobody_else_needs(api: StoreApi) -> None:
    removed = api.put_checkpoint(b"only mine", b"ours")
    kept = api.put_checkpoint(b"ours", b"theirs")
    age(api, b"only mine", b"ours", b"theirs")

    reply = api.request("DELETE", f"/v1/checkpoints/{removed}")

    assert reply.json == {"digest": removed, "freed_bytes": 9, "kept_bytes": 4}
    assert not api.blob(digest(b"only mine")).exists()
    assert all(api.blob(digest(blob)).exists() for blob in (b"ours", b"theirs"))
    assert api.request("GET", f"/v1/checkpoints/{kept}").status == 200
    assert api.request("DELETE", f"/v1/checkpoints/{removed}").code == "checkpoint-unknown"


def test_a_blob_that_somebody_asked_for_lately_is_not_freed(api: StoreApi) -> None:
    removed = api.put_checkpoint(b"wanted again")
    age(api, b"wanted again")
    asked = {"blobs": [{"sha256": digest(b"wanted again"), "bytes": 12}]}
    assert api.send_json("POST", "/v1/blobs:missing", asked).json == {"missing": []}

    reply = api.request("DELETE", f"/v1/checkpoints/{removed}")

    assert (reply.json["freed_bytes"], reply.json["kept_bytes"]) == (0, 12)
    assert api.blob(digest(b"wanted again")).exists()
    age(api, b"wanted again")
    until(lambda: not api.blob(digest(b"wanted again")).exists())


def test_a_checkpoint_of_a_node_or_a_pin_is_not_removed(
    api: StoreApi, projecting: Projecting
) -> None:
    name = api.put_checkpoint(b"in use")
    node = a_node("user", checkpoint=name)
    projecting.put_node(node)
    api.send_json("PUT", "/v1/pins/mine", {"digest": name}, Cellnode_Project="other")

    refused = api.request("DELETE", f"/v1/checkpoints/{name}")
    projecting.bury_node(node)
    still = api.request("DELETE", f"/v1/checkpoints/{name}")
    api.request("DELETE", "/v1/pins/mine", headers={"Cellnode-Project": "other"})

    assert (refused.status, refused.code) == (409, "checkpoint-in-use")
    assert (refused.json["nodes"], refused.json["pins"]) == (["default/user"], ["other/mine"])
    assert (still.status, still.json["nodes"]) == (409, [])
    assert api.request("DELETE", f"/v1/checkpoints/{name}").status == 200


def test_a_node_on_its_way_out_needs_no_checkpoint(api: StoreApi, projecting: Projecting) -> None:
    name = api.put_checkpoint(b"soon unused")
    node = a_node("leaving", checkpoint=name).model_copy(update={"deleting": True})
    projecting.put_node(node)

    assert api.request("DELETE", f"/v1/checkpoints/{name}").status == 200
    projecting.bury_node(node)


def test_nothing_is_removed_while_nobody_knows_who_needs_it() -> None:
    with running() as api:
        name = api.put_checkpoint(b"perhaps in use")

        reply = api.request("DELETE", f"/v1/checkpoints/{name}")

        assert (reply.status, reply.code) == (503, "projection-unavailable")
        assert api.request("GET", f"/v1/checkpoints/{name}").status == 200


def test_no_blob_is_freed_while_a_manifest_cannot_be_read(redis_url: str) -> None:
    with running(redis_url, collect_seconds=0.1) as api:
        removed, other = api.put_checkpoint(b"whose is it"), api.put_checkpoint(b"a secret")
        api.kill()
        path = api.store / "checkpoints" / f"{other}.json"
        path.chmod(0o644)
        path.write_bytes(b"damaged")
        age(api, b"whose is it", b"a secret")
        api.start()

        reply = api.request("DELETE", f"/v1/checkpoints/{removed}")

        assert (reply.json["freed_bytes"], reply.json["kept_bytes"]) == (0, 11)
        assert api.request("DELETE", f"/v1/checkpoints/{other}").status == 200
        until(lambda: api.files() == set())


def test_leftovers_of_the_dead_are_removed_and_strangers_are_not(api: StoreApi) -> None:
    api.put_checkpoint(b"kept")
    folder = api.blob(digest(b"kept")).parent
    left, fresh, strange = folder / ".new-dead", folder / ".new-living", folder / "README"
    for path in (left, fresh, strange):
        path.write_text("x")
    for path in (left, strange):
        os.utime(path, (0, 0))

    until(lambda: not left.exists())

    assert fresh.exists()
    assert strange.exists()
