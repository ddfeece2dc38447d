"""Pages as their fenced blocks, and what a reader does with each.

    ```console            typed line by line behind `$ `; what follows a line is what it prints
    ```python             run in the page's notebook
    ```text               what the notebook cell above it shows, if it follows one
    ```json spec.json     saved under this name, whatever the language
    ```json               has to be JSON

In what is printed, `...` stands for anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.sources import ROOT

READ = sorted(
    [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")]
)
_FENCED = re.compile(r"^```(\w*)(?: +(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PROMPT = "$ "


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    place: str  # For people: the page and the line.
    language: str
    file: str  # Where it is saved; empty if it is not.
    text: str


@dataclass(frozen=True)
class Typed:
    """One command and what it prints according to the page."""

    command: str
    printed: str


def blocks(path: Path) -> list[Block]:
    text = path.read_text()
    name = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name
    return [
        Block(f"{name}:{text.count(chr(10), 0, found.start()) + 1}", *found.groups(default=""))
        for found in _FENCED.finditer(text)
    ]


def typed(block: Block) -> list[Typed]:
    """The commands of a console block; one that ends in a backslash goes on in the next line."""
    parts = re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]
    return [_typed(part) for part in parts]


def _typed(part: str) -> Typed:
    lines = part.splitlines()
    count = next(n for n, line in enumerate(lines, start=1) if not line.endswith("\\"))
    return Typed("\n".join(lines[:count]), "\n".join(lines[count:]))


def is_like(printed: str, pattern: str) -> bool:
    """Whether it is what the page says; blanks at the ends of lines are nothing.

    `...` is anything; on a line of its own it is any lines, or none.
    """
    wanted = "".join(map(_like, _trimmed(pattern).splitlines()))
    return re.fullmatch(wanted, f"{_trimmed(printed)}\n", re.DOTALL) is not None


def _like(line: str) -> str:
    if line == "...":
        return r"(?:[^\n]*\n)*?"
    return ".*?".join(map(re.escape, line.split("..."))) + r"\n"


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def anchors(path: Path) -> set[str]:
    """What a link may name behind `#`, as the usual renderers make it of headings."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    return {_anchor(found) for found in re.findall(r"^#+ +(.+)$", text, re.MULTILINE)}


def _anchor(heading: str) -> str:
    kept = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower())
    return kept.strip().replace(" ", "-")


def links(path: Path) -> Iterator[tuple[str, str]]:
    """File (empty: this page) and anchor of every link that stays in the repository."""
    text = re.sub(r"^```.*?^```$|`[^`\n]+`", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    for file, anchor in re.findall(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)", text):
        if not re.match(r"\w+:", file):
            yield file, anchor
