"""`call`: send inputs to a node and print its outputs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cellnode.cli import how_to_call
from cellnode.cli.connection import connected
from cellnode.cli.exits import wrong_usage
from cellnode.cli.parameters import HERE, NodeName, Server, option
from cellnode.cli.screen import Screen
from cellnode.errors import ProblemError

if TYPE_CHECKING:
    from cellnode.node import Node

STDIN = "-"
FORMS = "write name=value, or give a JSON object with --input-file FILE or - for standard input"


def call(
    node: NodeName,
    /,
    *inputs: Annotated[
        str,
        option(
            "name=value each: JSON where it is JSON, else text. `-`: a JSON object from "
            "standard input.",
            allow_leading_hyphen=True,
        ),
    ],
    input_file: Annotated[
        Path | None, option("A file with a JSON object of inputs.", metavar="FILE")
    ] = None,
    timeout: Annotated[
        float | None,
        option("How long to wait for the answer; default: the node's deadline.", metavar="SECONDS"),
    ] = None,
    idempotency_key: Annotated[
        str | None,
        option("The request may be executed twice, and is known by this key.", metavar="KEY"),
    ] = None,
    server: Server = HERE,
) -> None:
    """Call a node and print its outputs as JSON.

    Inputs of the line stand over those of standard input, and these over those of the file:

      cellnode call digits image='[0, 12, 13, 5]' name=first
      cellnode call digits --input-file image.json
      echo '{"image": [0, 12, 13, 5]}' | cellnode call digits -
    """
    screen = Screen(as_json=server.json)
    given = gathered(inputs, input_file)
    with connected(server, node=node) as client:
        called = client.node(node)
        try:
            outputs = called.call(given, timeout_seconds=timeout, idempotency_key=idempotency_key)
        except ProblemError as error:
            error.remedy = error.remedy or next_step(error, called)
            raise
    screen.json({"output": outputs} if screen.as_json else outputs)


def next_step(error: ProblemError, node: Node) -> str | None:
    """Where the gateway names none: it does not know how it was asked."""
    if error.code == "invalid-input":
        return f"see what it takes, and try it: {how_to_call.page(node.url, node.project)}"
    return f"see why: cellnode why {node.name}" if error.code == "no-healthy-instance" else None


def gathered(inputs: tuple[str, ...], input_file: Path | None) -> dict[str, Any]:
    """The inputs from file, standard input and line, the later over the earlier."""
    given = {} if input_file is None else of_file(input_file)
    if STDIN in inputs:
        given |= of_text(sys.stdin.read(), "standard input")
    for word in inputs:
        if word != STDIN:
            name, value = of_word(word)
            given[name] = value
    return given


def of_word(word: str) -> tuple[str, Any]:
    if word.startswith("-"):
        raise wrong_usage(f"call has no option {word}", "see: cellnode call --help")
    name, equals, text = word.partition("=")
    if not equals or not name.isidentifier():
        raise wrong_usage(f"{word!r} is no input", FORMS)
    try:
        return name, json.loads(text, parse_constant=_no_constant)
    except ValueError:
        return name, text


def _no_constant(name: str) -> None:
    """NaN and Infinity are Python's, not JSON's."""
    raise ValueError(f"{name} is not JSON")


def of_file(path: Path) -> dict[str, Any]:
    try:
        return of_text(path.read_text(), str(path))
    except OSError as error:
        raise wrong_usage(f"{path} cannot be read ({error.strerror})") from None


def of_text(text: str, origin: str) -> dict[str, Any]:
    try:
        document = json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        raise wrong_usage(f"{origin} is not JSON ({error})", FORMS) from None
    if not isinstance(document, dict):
        raise wrong_usage(f"{origin} is JSON, but no object of inputs", FORMS)
    return document
