"""Help and version: written beforehand, true, quick, and the same wherever they are read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from cellnode.cli import PAGES, main, plain
from cellnode.cli.app import COMMANDS, FAMILIES, SYNONYMS
from cellnode.cli.exits import MEANINGS
from docs.command_line import help_pages, paths
from tests.cellnode.cli.terminal import environment, in_pipe, in_terminal

HEAVY = {"cyclopts", "rich", "httpx2", "cloudpickle", "asyncio", "cellnode.client"}


def page(*path: str) -> str:
    return (Path(PAGES) / f"{'-'.join(['cellnode', *path])}.txt").read_text()


def test_the_pages_say_what_the_library_would_say() -> None:
    written = {path: path.read_text() for path in Path(PAGES).glob("*.txt")}

    assert written == help_pages(), "run `make docs`"


@pytest.mark.parametrize("path", paths(), ids=" ".join)
def test_every_command_answers_help(
    path: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*path, "--help"]) == 0

    assert capsys.readouterr().out == plain(page(*path))


def test_help_names_every_command_and_every_exit_code() -> None:
    text = plain(page())

    assert [name for name in (*COMMANDS, *FAMILIES) if f"\n  {name} " not in text] == []
    assert [code for code, meaning in MEANINGS.items() if f"{code} " not in text] == []
    assert [meaning for meaning in MEANINGS.values() if meaning not in text] == []


def test_no_page_is_wider_than_a_terminal() -> None:
    lines = [line for path in paths() for line in plain(page(*path)).splitlines()]

    assert [line for line in lines if len(line) > 80] == []


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from cellnode.cli import main; main(['--help']); print(*sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment()
    )

    assert set(ended.stdout.splitlines()[-1].split()) & HEAVY == set()


def test_a_terminal_gets_colours_and_a_pipe_gets_none() -> None:
    assert "\x1b[1m" in in_terminal("--help").out
    assert in_pipe("--help").out == plain(page())


@pytest.mark.parametrize("words", [("scale", "digits", "--help"), ("scale", "--help", "digits")])
def test_help_that_is_asked_for_beside_arguments_is_the_same_page(words: tuple[str, ...]) -> None:
    """Between pipes, too, where nothing else has a width."""
    lines = [line.rstrip() for line in in_pipe(*words).out.splitlines()]

    assert lines == plain(page("scale")).splitlines()


@pytest.mark.parametrize("more", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=str)
def test_who_wants_no_colours_gets_none(more: dict[str, str]) -> None:
    assert "\x1b[" not in in_terminal("--help", more=more).out


def test_a_narrow_terminal_gets_a_narrow_page() -> None:
    lines = plain(in_terminal("deploy", "--help", columns=60).out).splitlines()

    assert len(lines) > 20
    assert [line for line in lines if len(line) > 60] == []


def test_the_version_is_told() -> None:
    ended = in_pipe("--version")

    assert (ended.code, ended.err) == (0, "")
    assert ended.out.startswith("cellnode ")


@pytest.mark.parametrize(
    ("words", "said", "step"),
    [
        (["lst"], "there is no command lst", "did you mean cellnode ls?"),
        (["delete", "x"], "there is no command delete", "did you mean cellnode rm?"),
        (["restart"], "there is no command restart", "did you mean cellnode recreate?"),
        (["xyzzy"], "there is no command xyzzy", "cellnode --help"),
        (["checkpoint", "sow"], "there is no command checkpoint sow", "cellnode checkpoint --help"),
        (["scale", "digits"], "scale needs WANT", "cellnode scale --help"),
        (["scale", "digits", "many"], "WANT: 'many' is not a whole number", "--help"),
        (["scale", "digits", "3", "4"], "scale does not take 4", "--help"),
        (["scale", "d", "3", "--timeot", "3"], "scale has no option --timeot", "--timeout"),
        (["scale", "d", "3", "--timeout"], "--timeout needs a value", "--help"),
        (["completion", "tcsh"], "tcsh", "--help"),
        (["--json", "ls"], "--json stands before a command", "first the command"),
        (["call", "digits", "image"], "'image' is no input", "name=value"),
        (["deploy", "spec.yaml"], "spec.yaml is neither", ".json, .toml, .py, .ipynb"),
        (["ls", "--url", "nowhere"], "'nowhere' is no address of a server", ""),
        (["ls", "--url", "http://[::1"], "is no address of a server", ""),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_is_one_sentence_and_the_next_step(
    words: list[str], said: str, step: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2

    ended = capsys.readouterr()
    assert ended.out == ""
    assert said in ended.err
    assert step in ended.err
    assert len(ended.err.splitlines()) <= 2


def test_every_synonym_leads_to_a_command() -> None:
    known = {*COMMANDS, *FAMILIES}
    others = [word for words in SYNONYMS.values() for word in words]

    assert set(SYNONYMS) <= known
    assert not known & set(others)
    assert len(others) == len(set(others))
