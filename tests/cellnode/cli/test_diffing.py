"""`cellnode checkpoint diff`: what a second pin has changed, told from manifests alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cellnode.cli.diffing import Manifest, differences
from tests.cellnode.cli.terminal import here
from tests.cellnode.site import Site, answer, serving
from tests.cellnode.test_pin import notebook, pinned

STATE = "a = [1]\nb = 'x'\nshared = []\nc = [shared]\ngone = 1.5\nimport json"
LATER = "a = [2]\nb = 'xyz'\nshared = [0]\nc = [shared]\nnew = 2\nimport json, math"


def manifests(folder: Path) -> tuple[Manifest, Manifest]:
    one, two = (pinned(notebook(state), folder).manifest for state in (STATE, LATER))
    return one, two


def test_what_a_second_pin_has_changed(tmp_path: Path) -> None:
    found = {(one.kind, one.name): one for one in differences(*manifests(tmp_path))}

    changes = {name: one.change for (kind, name), one in found.items() if kind == "variable"}
    assert changes == {
        "a": "changed",
        "b": "changed",
        "c": "changed",
        "shared": "changed",
        "gone": "removed",
        "new": "added",
    }
    assert found["variable", "a"].note == "another value"
    assert found["variable", "gone"].before == "float, 31 bytes"
    assert found["module", "math"].change == "added"
    assert ("module", "json") not in found


def test_of_what_lies_together_it_is_not_said_which_has_changed(tmp_path: Path) -> None:
    states = ("shared = [1]\nc = [shared]", "shared = [2]\nc = [shared]")
    found = differences(*(pinned(notebook(state), tmp_path).manifest for state in states))

    assert [(one.name, one.note) for one in found] == [
        ("c", "it, or what it lies together with: shared"),
        ("shared", "it, or what it lies together with: c"),
    ]


def test_another_python_and_other_packages_are_named(tmp_path: Path) -> None:
    before, _ = manifests(tmp_path)
    after = {**before, "python": {**before["python"], "version": "3.1.4"}}
    after["packages"] = {"numpy": "9.9"}

    found = {one.name: one for one in differences(before, after)}
    assert (found["version"].kind, found["version"].after) == ("python", "3.1.4")
    assert (found["numpy"].change, found["numpy"].after) == ("added", "9.9")
    assert differences(before, before) == []


@contextmanager
def kept(folder: Path, parent: str | None = "a" * 64) -> Iterator[Site]:
    """A server with one pin, whose checkpoint has followed another."""
    pin = {"project": "default", "name": "digits", "digest": "b" * 64, "parent": parent}
    pages = answer({"pins": [{**pin, "at": "2026-05-04T12:00:00Z"}], "next": None})
    with serving(pages, *map(answer, manifests(folder))) as site:
        yield site


def test_a_pin_alone_is_compared_with_what_it_named_before(tmp_path: Path) -> None:
    with kept(tmp_path) as site:
        ended = here("checkpoint", "diff", "digits", "--url", site.url)

    asked = [one.target.split("?")[0].rsplit("/", 1)[1][:1] for one in site.requests[1:]]
    assert (ended.code, asked) == (0, ["a", "b"])
    assert ended.out.splitlines()[0].split() == [
        "WHAT",
        "NAME",
        "CHANGE",
        "BEFORE",
        "AFTER",
        "NOTE",
    ]
    assert "variable  gone" in ended.out


def test_as_json_it_names_both_checkpoints(tmp_path: Path) -> None:
    with kept(tmp_path) as site:
        ended = here("checkpoint", "diff", "c" * 64, "digits", "--json", "--url", site.url)

    told = json.loads(ended.out)
    assert (told["before"], told["after"]) == ("c" * 64, "b" * 64)
    assert {one["name"] for one in told["differences"]} >= {"a", "gone", "new"}


def test_a_pin_that_was_never_another_is_said_to_be_so(tmp_path: Path) -> None:
    with kept(tmp_path, parent=None) as site:
        ended = here("checkpoint", "diff", "digits", "--url", site.url)

    assert ended.code == 2
    assert "digits is no pin that has named another checkpoint before" in ended.err
