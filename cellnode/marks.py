"""The one grammar of marks: what follows `%%node`, `# %% [node]` and `# node:`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cellnode.errors import MarkError
from cellnode.store import NAME_PATTERN

USAGE = (
    "NAME [--inputs A,B] [--outputs C,D] [--min N] [--want N] [--type TYPE] [--idempotent] "
    "[--deadline SECONDS] [--env KEY=VALUE] [--pin NAME]"
)
INSTANCES_MAX = 1000
VARIABLE_PATTERN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")
# `%%node digits ...` and `# node: digits ...` as the first line of a cell.
_FIRST_LINE = re.compile(r"\s*(?:%%node|#\s*node:)(?:[ \t]+(.*))?\Z")
# `# %% [node] digits ...`, also with a title before it, and `# %%node digits ...`.
_HEADING = re.compile(r"#[ \t]*%%(?:.*?\[node\]|node\b)[ \t]*(.*)\Z")
_OPTION = re.compile(r"--([a-z]+)(?:=(.*))?\Z", re.DOTALL)


@dataclass(frozen=True)
class Mark:
    """What a mark says of the node that its cell shall become."""

    node: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    min: int = 1  # That many healthy instances make the node HEALTHY.
    want: int = 1  # That many are kept.
    instance_type: str | None = None  # None: the server's default.
    idempotent: bool = False
    deadline_seconds: float | None = None  # Of one request; None: the server's default.
    env: dict[str, str] = field(default_factory=dict)
    pin: str | None = None

    @property
    def pin_name(self) -> str:
        """The name of the pin that is made for the node; its own name unless said."""
        return self.pin or self.node

    def options(self) -> dict[str, Any]:
        """The keyword arguments that `cellnode.deploy` takes for it."""
        given = {"instance_type": self.instance_type, "deadline_seconds": self.deadline_seconds}
        return {
            "inputs": self.inputs,
            "outputs": self.outputs,
            "min": self.min,
            "want": self.want,
            "idempotent": self.idempotent,
            "env": self.env,
            **{name: value for name, value in given.items() if value is not None},
        }


def parse(text: str) -> Mark:
    """The mark that follows `%%node`; MarkError names the word that is wrong.

    `--inputs` and `--outputs` take names with commas or blanks between them; they and `--env`
    may be given several times.
    """
    name, *words = _words(text)
    if not NAME_PATTERN.match(name):
        raise MarkError(
            f"{name!r} is no name of a node; it starts with a small letter and holds only small "
            f"letters, digits and dashes, at most 63: {USAGE}"
        )
    given: dict[str, Any] = {}
    for option, values in _grouped(words):
        field_name, read = _OPTIONS[option]
        given[field_name] = read(f"--{option}", values, given.get(field_name))
    given.setdefault("want", given.get("min", 1))
    if given.get("min", 1) > given["want"]:
        raise MarkError(f"--min {given['min']} is more than --want {given['want']}")
    return Mark(name, **given)


def of_first_line(source: str) -> tuple[Mark, str] | None:
    """The mark that a cell opens with (`%%node ...`, `# node: ...`) and the cell without it."""
    lines = source.splitlines(keepends=True)
    for number, line in enumerate(lines):
        if line.strip():
            found = _FIRST_LINE.match(line.rstrip())
            return (parse(found[1] or ""), "".join(lines[number + 1 :])) if found else None
    return None


def of_heading(line: str) -> Mark | None:
    """The mark in the line that opens a cell of a script: `# %% [node] digits --inputs image`."""
    found = _HEADING.match(line.rstrip())
    return parse(found[1]) if found else None


def _words(text: str) -> list[str]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise MarkError(f"{text!r} cannot be read ({error}); close what is quoted") from None
    if not words or words[0].startswith("--"):
        raise MarkError(f"the name of the node is missing: {USAGE}")
    return words


def _grouped(words: list[str]) -> list[tuple[str, list[str]]]:
    """Each option with the words that follow it."""
    groups: list[tuple[str, list[str]]] = []
    for word in words:
        if word.startswith("--"):
            groups.append(_option(word))
        elif groups:
            groups[-1][1].append(word)
        else:
            raise MarkError(f"{word!r} stands before any option; one cell is one node: {USAGE}")
    return groups


def _option(word: str) -> tuple[str, list[str]]:
    found = _OPTION.match(word)
    if not found or found[1] not in _OPTIONS:
        known = ", ".join(f"--{option}" for option in _OPTIONS)
        raise MarkError(f"there is no option {word.partition('=')[0]}; the options are {known}")
    return found[1], [] if found[2] is None else [found[2]]


def _names(option: str, values: list[str], before: Any) -> tuple[str, ...]:
    names = [name for value in values for name in value.replace(",", " ").split()]
    if not names:
        raise MarkError(f"{option} names no variable; write {option} a,b")
    for name in names:
        if not VARIABLE_PATTERN.match(name):
            raise MarkError(f"{option}: {name!r} is no name of a variable")
    together = (*(before or ()), *names)
    if len(set(together)) < len(together):
        raise MarkError(f"{option} names a variable twice: {', '.join(together)}")
    return together


def _one(option: str, values: list[str], before: Any) -> str:
    if len(values) != 1 or not values[0]:
        raise MarkError(f"{option} takes one value, not {' '.join(values) or 'none'}")
    if before is not None:
        raise MarkError(f"{option} is given twice; one of them is too many")
    return values[0]


def _count(option: str, values: list[str], before: Any) -> int:
    text = _one(option, values, before)
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= INSTANCES_MAX:
        raise MarkError(f"{option} takes a whole number from 1 to {INSTANCES_MAX}, not {text!r}")
    return int(text)


def _seconds(option: str, values: list[str], before: Any) -> float:
    text = _one(option, values, before)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise MarkError(f"{option} takes seconds above 0, not {text!r}")
    return seconds


def _name(option: str, values: list[str], before: Any) -> str:
    text = _one(option, values, before)
    if not NAME_PATTERN.match(text):
        raise MarkError(f"{option}: {text!r} is no name; use small letters, digits and dashes")
    return text


def _flag(option: str, values: list[str], before: Any) -> bool:
    if values:
        raise MarkError(f"{option} takes no value, but {' '.join(values)!r} follows it")
    return True


def _pairs(option: str, values: list[str], before: Any) -> dict[str, str]:
    pairs = dict(before or {})
    if not values:
        raise MarkError(f"{option} takes KEY=VALUE")
    for value in values:
        key, equals, text = value.partition("=")
        if not equals or not VARIABLE_PATTERN.match(key):
            raise MarkError(f"{option} takes KEY=VALUE, not {value!r}")
        pairs[key] = text
    return pairs


# The word, the field of the mark, and how its values are read.
_OPTIONS: dict[str, tuple[str, Callable[[str, list[str], Any], Any]]] = {
    "inputs": ("inputs", _names),
    "outputs": ("outputs", _names),
    "min": ("min", _count),
    "want": ("want", _count),
    "type": ("instance_type", _one),
    "idempotent": ("idempotent", _flag),
    "deadline": ("deadline_seconds", _seconds),
    "env": ("env", _pairs),
    "pin": ("pin", _name),
}
