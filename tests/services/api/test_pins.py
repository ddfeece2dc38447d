"""Pins over HTTP: names for checkpoints in the very files that a notebook's own pin writes."""

import json
import threading
from collections.abc import Iterator

import pytest

from cellnode.store import Store
from tests.services.api.store_process import StoreApi, running


@pytest.fixture(scope="module")
def api() -> Iterator[StoreApi]:
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def digests(api: StoreApi) -> list[str]:
    return [api.put_checkpoint(b"state %d" % number) for number in range(3)]


def put(api: StoreApi, name: str, digest: str, **more: object) -> dict[str, object]:
    reply = api.send_json("PUT", f"/v1/pins/{name}", {"digest": digest, **more})
    assert reply.status in (200, 201), reply.body
    view: dict[str, object] = reply.json
    return view


def test_a_pin_is_put_read_and_removed(api: StoreApi, digests: list[str]) -> None:
    body = {"digest": digests[0], "by": "ada", "notebook": "a.ipynb"}

    made = api.send_json("PUT", "/v1/pins/digits", body)
    found = api.request("GET", "/v1/pins/digits")

    assert (made.status, found.json) == (201, made.json)
    assert found.json.items() >= {**body, "project": "default", "name": "digits"}.items()
    assert found.json["parent"] is None
    assert api.request("DELETE", "/v1/pins/digits").status == 204
    assert api.request("GET", "/v1/pins/digits").code == "pin-unknown"
    assert api.request("DELETE", "/v1/pins/digits").code == "pin-unknown"


def test_a_pin_remembers_what_its_name_meant_before(api: StoreApi, digests: list[str]) -> None:
    first, second = digests[:2]

    parents = [put(api, "moving", one)["parent"] for one in (first, second, second, first)]

    assert parents == [None, first, first, second]


def test_notebook_and_api_read_each_others_pins(api: StoreApi, digests: list[str]) -> None:
    store = Store(api.store)
    record = {"digest": digests[0], "at": "2026-05-04T12:00:00+00:00", "by": "ada", "parent": None}
    store.put_pin("default", "theirs", {**record, "notebook": None})

    changed = put(api, "theirs", digests[1], by="bob")

    assert changed["parent"] == digests[0]
    known = store.pin("default", "theirs")
    assert known is not None
    assert {name: known[name] for name in ("digest", "by", "parent", "notebook")} == {
        "digest": digests[1], "by": "bob", "parent": digests[0], "notebook": None,
    }  # fmt: skip


def test_projects_do_not_see_each_others_pins(api: StoreApi, digests: list[str]) -> None:
    body = {"digest": digests[0]}
    for project in ("red", "blue"):
        api.send_json("PUT", f"/v1/pins/only-{project}", body, Cellnode_Project=project)

    page = api.request("GET", "/v1/pins", headers={"Cellnode-Project": "red"}).json

    assert [(one["project"], one["name"]) for one in page["pins"]] == [("red", "only-red")]
    red = [one for one in api.request("GET", "/v1/checkpoints").json["checkpoints"]]
    assert {"red/only-red", "blue/only-blue"} <= {pin for one in red for pin in one["pins"]}


def test_pins_are_listed_by_name_page_by_page(api: StoreApi, digests: list[str]) -> None:
    headers = {"Cellnode-Project": "many"}
    names = [f"pin-{number}" for number in range(5)]
    for name in reversed(names):
        api.send_json("PUT", f"/v1/pins/{name}", {"digest": digests[0]}, Cellnode_Project="many")
    seen, after = [], ""

    while after is not None:
        page = api.request("GET", f"/v1/pins?limit=2&after={after}", headers=headers).json
        seen += [one["name"] for one in page["pins"]]
        after = page["next"]

    assert seen == names


def test_a_pin_of_an_unknown_checkpoint_is_refused(api: StoreApi) -> None:
    reply = api.send_json("PUT", "/v1/pins/nothing", {"digest": "0" * 64})

    assert (reply.status, reply.code) == (404, "checkpoint-unknown")
    assert api.request("GET", "/v1/pins/nothing").status == 404


@pytest.mark.parametrize("name", ["..", "%2e%2e%2fx", "A", "a" * 64, "-a", "a%0a", "a.json", "%00"])
def test_what_is_no_name_reaches_no_file(api: StoreApi, digests: list[str], name: str) -> None:
    before = api.files()

    reply = api.send_json("PUT", f"/v1/pins/{name}", {"digest": digests[0]})

    assert reply.status in (400, 404, 405, 422)
    assert api.files() == before


def test_a_project_that_is_a_path_is_refused(api: StoreApi, digests: list[str]) -> None:
    body = {"digest": digests[0]}

    reply = api.send_json("PUT", "/v1/pins/out", body, Cellnode_Project="../..")

    assert (reply.status, reply.json["field"]) == (422, "Cellnode-Project")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"digest": 1}', "null", "\udcff"])
def test_a_damaged_pin_is_no_pin_and_may_be_put_again(
    api: StoreApi, digests: list[str], text: str
) -> None:
    put(api, "broken", digests[0])
    path = api.store / "pins" / "default" / "broken.json"
    path.write_bytes(text.encode(errors="surrogateescape"))

    assert api.request("GET", "/v1/pins/broken").code == "pin-unknown"
    assert api.request("GET", "/v1/pins").status == 200
    assert put(api, "broken", digests[1])["parent"] is None
    assert json.loads(path.read_text())["digest"] == digests[1]


def test_of_many_who_put_a_pin_at_once_each_sees_the_one_before(
    api: StoreApi, digests: list[str]
) -> None:
    """One chain: every change's parent is what the change before it had made."""
    put(api, "raced", digests[0])
    seen: list[dict[str, object]] = []
    wanted = [digests[n % 2 + 1] for n in range(8)]
    threads = [
        threading.Thread(target=lambda d=d: seen.append(put(api, "raced", d))) for d in wanted
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    last = api.request("GET", "/v1/pins/raced").json
    assert len(seen) == len(wanted)
    assert all(one["parent"] != one["digest"] for one in seen)
    assert sum(one["parent"] == digests[0] for one in seen) >= 1
    assert last in seen
