"""The lines that call a node: to paste into a shell, or into Python."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cellnode.errors import CellnodeError

if TYPE_CHECKING:
    from cellnode.node import Node

EXAMPLE_CHARACTERS_MAX = 400  # A longer one is read from a file.
INPUT_FILE = "input.json"
DEFAULT_PROJECT = "default"


def example_input(node: Node, names: list[str]) -> dict[str, Any]:
    """Values that the node takes, from its own document; null where it names none."""
    try:
        document: Any = node.openapi()
        (operations,) = document["paths"].values()
        content = operations["post"]["requestBody"]["content"]["application/json"]
        return dict(content["example"]["input"])
    except (CellnodeError, KeyError, TypeError, ValueError):
        return dict.fromkeys(names)


def lines(url: str, name: str, project: str, inputs: Mapping[str, Any]) -> list[str]:
    """For curl, for this command, and for Python."""
    return [
        curl(url, project, inputs),
        ours(name, project, inputs),
        "",
        *python(url, name, project, inputs),
    ]


def curl(url: str, project: str, inputs: Mapping[str, Any]) -> str:
    body = json.dumps({"input": dict(inputs)}, ensure_ascii=False)
    if len(body) > EXAMPLE_CHARACTERS_MAX:
        body = f"@{INPUT_FILE}"
    header = "" if project == DEFAULT_PROJECT else f" -H 'Cellnode-Project: {project}'"
    return f"curl {url}{header} -d {shlex.quote(body)}"


def ours(name: str, project: str, inputs: Mapping[str, Any]) -> str:
    words = [f"{key}={_word(value)}" for key, value in inputs.items()]
    if sum(map(len, words)) > EXAMPLE_CHARACTERS_MAX:
        words = ["--input-file", INPUT_FILE]
    whose = [] if project == DEFAULT_PROJECT else ["--project", project]
    return shlex.join(["cellnode", "call", name, *words, *whose])


def page(url: str, project: str) -> str:
    """Where a browser shows the node's inputs and sends them."""
    whose = "" if project == DEFAULT_PROJECT else f"?project={project}"
    return f"{url.removesuffix(':execute')}/docs{whose}"


def _word(value: Any) -> str:
    """As `cellnode call` reads it back."""
    return json.dumps(value, ensure_ascii=False)


def python(url: str, name: str, project: str, inputs: Mapping[str, Any]) -> list[str]:
    origin = url.partition("/v1/")[0]
    whose = "" if project == DEFAULT_PROJECT else f", project={project!r}"
    given = ", ".join(f"{key}={value!r}" for key, value in inputs.items())
    if len(given) > EXAMPLE_CHARACTERS_MAX:
        given = "..."
    return [
        "import cellnode",
        f"cellnode.connect({origin!r}{whose}).node({name!r}).call({given})",
    ]
