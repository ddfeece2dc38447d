"""`deploy`: make a node, or change it, from a spec file, a script or a notebook."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cellnode.cli.parameters import HERE, PATIENT, Server, Waiting, names_of, option


def deploy(
    file: Annotated[Path, option("A spec (.json, .toml), a script (.py) or a notebook (.ipynb).")],
    /,
    *,
    node: Annotated[str | None, option("Another name for the node.", metavar="NAME")] = None,
    checkpoint: Annotated[
        str | None,
        option(
            "Another checkpoint for a spec: a digest, or a pin's name.",
            metavar="REFERENCE",
            completer=names_of("pins"),
        ),
    ] = None,
    inputs: Annotated[
        str | None, option("The input variables, with commas between them.", metavar="NAMES")
    ] = None,
    outputs: Annotated[
        str | None, option("The output variables, with commas between them.", metavar="NAMES")
    ] = None,
    min: Annotated[
        int | None, option("How many healthy instances make the node HEALTHY.", metavar="N")
    ] = None,
    want: Annotated[int | None, option("How many instances are kept.", metavar="N")] = None,
    type: Annotated[
        str | None, option("The instance type; `cellnode types` lists them.", metavar="TYPE")
    ] = None,
    idempotent: Annotated[
        bool | None,
        option(
            "A request may be executed twice: it is sent again after a failure.",
            negative="--no-idempotent",
        ),
    ] = None,
    deadline: Annotated[
        float | None, option("How long one request may take.", metavar="SECONDS")
    ] = None,
    env: Annotated[
        list[str] | None,
        option("An environment variable of the cell; may be repeated.", metavar="KEY=VALUE"),
    ] = None,
    waiting: Waiting = PATIENT,
    server: Server = HERE,
) -> None:
    """Make or change a node, and wait until it is healthy.

    FILE says what the node is; options stand over what it says. In a script, the cell is marked
    by its heading, and the cells before it build the state that the node holds:

      # %%
      model = train()
      # %% [node] digits --inputs image --outputs label --want 2
      label = int(model.predict([image])[0])

    In a notebook, the cell has the tag `node` and begins with such a line:

      # node: digits --inputs image --outputs label --want 2

    A spec has the fields of a node and its name; `cell_file` names the file of the cell:

      {"node": "digits", "checkpoint": "digits", "cell_file": "cell.py",
       "inputs": ["image"], "outputs": ["label"], "instances": {"want": 2}}
    """
