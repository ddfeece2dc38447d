"""What the pages say is what is there: reference pages, links, paths and commands."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.generate import PAGES, REFERENCE
from docs.promises import MISSING, PROMISES, shown_by
from tests.sources import ROOT

MARKDOWN = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")]
)
LINK = re.compile(r"\]\(([^)#:]+)(#[^)]*)?\)")
CODE = re.compile(r"`[^`\n]+`")
MENTIONED = re.compile(
    r"`((?:schemas|services|runtime|cellnode|tests|docs|examples|benchmarks)/[\w./-]*)`"
)
TARGET = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)
FENCED = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
IN_THE_WHEEL = {"cellnode/_server/"}
SHOWN_NOT_RUN = {"json"}  # Samples that the generator copies from the golden records.


def targets() -> set[str]:
    return set(TARGET.findall((ROOT / "Makefile").read_text()))


def commands(text: str) -> Iterator[str]:
    """The lines of fenced blocks that a reader would type; pictures have none of them."""
    for language, block in FENCED.findall(text):
        if language not in {*SHOWN_NOT_RUN, "python"}:
            yield from re.findall(
                r"^(?:\$ |sudo |make |pip |cellnode |curl |docker |python ).*", block, re.M
            )


def untested(text: str) -> list[str]:
    """Commands that are no target of the Makefile: those are what tests and `.ci/run` run."""
    typed = [line.split()[:2] for line in commands(text)]
    return [
        " ".join(words)
        for words in typed
        if words[0] != "make" or words[-1] not in {*targets(), "make"}
    ]


@pytest.mark.parametrize("name", PAGES)
def test_a_reference_page_says_what_the_code_says(name: str) -> None:
    assert (REFERENCE / name).read_text() == PAGES[name](), "run `make docs`"


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: path.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    links = [link for link, _ in LINK.findall(CODE.sub("", path.read_text()))]

    assert [link for link in links if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: path.name)
def test_every_file_that_a_page_names_exists(path: Path) -> None:
    named = {*MENTIONED.findall(path.read_text())} - IN_THE_WHEEL

    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: path.name)
def test_every_command_on_a_page_is_a_target(path: Path) -> None:
    assert untested(path.read_text()) == []


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: path.name)
def test_every_python_snippet_stands_in_an_example(path: Path) -> None:
    """Examples are run by tests; a snippet is a piece of one, word for word."""
    sources = [example.read_text() for example in (ROOT / "examples").rglob("*.py")]
    snippets = [
        block for language, block in FENCED.findall(path.read_text()) if language == "python"
    ]

    assert [
        snippet for snippet in snippets if not any(snippet in source for source in sources)
    ] == []


def test_every_promise_is_shown_by_a_test_or_said_to_be_missing() -> None:
    shown = shown_by()

    assert [letter for letter in PROMISES if letter not in {*shown, *MISSING}] == []
    assert not {*shown} - {*PROMISES}


def test_the_rules_of_this_file_can_fail() -> None:
    assert untested("```\nmake nothing-like-it\n```") == ["make nothing-like-it"]
    assert untested("```sh\ncurl http://x\n```") == ["curl http://x"]
    assert untested("```\nmake demo\n```") == []
    assert MENTIONED.findall("see `schemas/none.py`") == ["schemas/none.py"]
    assert LINK.findall("[a](docs/none.md#b)") == [("docs/none.md", "#b")]
