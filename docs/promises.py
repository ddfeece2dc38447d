"""The page of promises: each sentence with the end-to-end tests that show it, read from them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from docs.render import table

TESTS = Path(__file__).resolve().parent.parent / "tests" / "e2e" / "test_promises.py"
LETTERED = re.compile(r"test_([a-z])_(.+)")

PROMISES = {
    "A": "A trained model becomes a service that programs outside can call.",
    "B": "An instance holds the pinned interpreter state and the code.",
    "C": "A node is a group of instances that share its load.",
    "D": "A node is isolated in its own perimeter.",
    "E": "A node is reached through its API, whichever instance answers.",
    "F": "A node is made from a cell and a checkpoint.",
    "G": "The API is generated from the variables marked when the node is made.",
    "H": "Requests may change the state of the interpreter, and it stays changed.",
    "I": "Only making the node anew brings the pinned state back.",
    "J": "A request and its answer may be 16 MiB each, not a byte more.",
    "K": "By default instances use the standard environment and do not copy what the user "
    "installed.",
    "L": "A node that needs more gets an environment of its own.",
    "M": "What costs is said before, and measured.",
    "N": "Instance `UNDEFINED`: wanted, there is no VM yet.",
    "O": "Instance `CREATED`: its VM is made.",
    "P": "Instance `STARTED`: there is contact with the VM.",
    "Q": "Instance `PREPARING`: it is getting ready to serve.",
    "R": "Instance `HEALTHY`: it is in balancing.",
    "S": "Instance `UNHEALTHY`: trouble; out of balancing.",
    "T": "Instance `DELETING`: being removed.",
    "U": "Node `CREATED`: just made.",
    "V": "Node `HEALTHY`: the healthy instances reach the minimum.",
    "W": "Node `UNHEALTHY`: fewer than the minimum.",
    "X": "Node `DELETING`: being removed.",
    "Y": "Whoever may write to the bus can deploy.",
    "Z": "Every change of status is an event that others can follow.",
}
# What a test shows only a part of, or nothing yet; a promise that is fully shown has no line here.
MISSING = {
    "D": "no test yet: instances are processes with limits, not yet walled off from each other",
    "K": "no test yet: `here`, the notebook's own interpreter, is the one environment so far",
    "L": "no test yet: other environments than `here` are refused by name",
    "Z": "rebuilt by an outside consumer; there is no dashboard yet",
}


def shown_by() -> dict[str, list[str]]:
    """Letter -> what its tests say, as sentences, in the file's order."""
    found: dict[str, list[str]] = {}
    for node in ast.parse(TESTS.read_text()).body:
        lettered = LETTERED.fullmatch(getattr(node, "name", ""))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and lettered:
            found.setdefault(lettered[1].upper(), []).append(lettered[2].replace("_", " "))
    return found


def promises_table() -> str:
    tests = shown_by()
    return table(
        ("", "promise", "seen when"),
        (
            (letter, sentence, _seen(tests.get(letter, []), MISSING.get(letter)))
            for letter, sentence in PROMISES.items()
        ),
    )


def _seen(tests: list[str], missing: str | None) -> str:
    return "; ".join([*tests, *([f"*{missing}*"] if missing else [])])
