"""What the pages say is what is there: generated pages, links, anchors, paths, targets of make."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.generate import PAGES, REFERENCE
from docs.promises import MISSING, PROMISES, shown_by
from tests.docs.pages import READ, anchors, blocks, links
from tests.sources import ROOT

MENTIONED = re.compile(
    r"`((?:schemas|services|runtime|cellnode|tests|docs|examples|benchmarks)/[\w./-]*)`"
)
TARGET = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)
IN_THE_WHEEL = {"cellnode/_server/"}


def targets() -> set[str]:
    return set(TARGET.findall((ROOT / "Makefile").read_text()))


def broken_links(path: Path) -> Iterator[str]:
    for file, anchor in links(path):
        target = path.parent / file if file else path
        if not target.exists():
            yield file
        elif anchor and target.suffix == ".md" and anchor not in anchors(target):
            yield f"{file}#{anchor}"


def unknown_targets(path: Path) -> list[str]:
    """Targets of make in lists of them, and in console blocks."""
    typed = {
        name
        for block in blocks(path)
        if not block.file
        for name in re.findall(r"^(?:\$ )?make ([a-z-]+)", block.text, re.MULTILINE)
    }
    return sorted(typed - targets())


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_says_what_the_code_says(name: str) -> None:
    assert (REFERENCE / name).read_text() == PAGES[name](), "run `make docs`"


@pytest.mark.parametrize("path", READ, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    assert list(broken_links(path)) == []


@pytest.mark.parametrize("path", READ, ids=lambda path: path.name)
def test_every_file_that_a_page_names_exists(path: Path) -> None:
    named = {*MENTIONED.findall(path.read_text())} - IN_THE_WHEEL

    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("path", READ, ids=lambda path: path.name)
def test_every_target_that_a_page_names_is_one(path: Path) -> None:
    assert unknown_targets(path) == []


def test_the_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < 120


def test_every_promise_is_shown_by_a_test_or_said_to_be_missing() -> None:
    shown = shown_by()

    assert [letter for letter in PROMISES if letter not in {*shown, *MISSING}] == []
    assert not {*shown} - {*PROMISES}


def test_the_rules_of_this_file_can_fail(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A *page*: one\n[a](none.md) [b](#none) [c](#a-page-one) `[d](e.md)`\n"
        "```console\n$ make nothing-like-it\n```\n"
    )

    assert list(broken_links(page)) == ["none.md", "#none"]
    assert unknown_targets(page) == ["nothing-like-it"]
    assert MENTIONED.findall("see `schemas/none.py`") == ["schemas/none.py"]
