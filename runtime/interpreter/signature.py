"""What is asked of each marked variable: its own schema, or the type that it was pinned with."""

from __future__ import annotations

from typing import Any

Declared = dict[str, Any]  # A name, and perhaps a schema.


def signature(
    config: dict[str, Any], schemas: dict[str, Any]
) -> tuple[list[Declared], list[Declared]]:
    """Inputs and outputs with the schemas that hold for them."""
    inputs = [{**each, "schema": input_schema(each, schemas)} for each in config["inputs"]]
    outputs = [{**each, "schema": output_schema(each, schemas)} for each in config["outputs"]]
    return inputs, outputs


def input_schema(declared: Declared, schemas: dict[str, Any]) -> Any:
    """An input that was declared by name alone has the type that it was pinned with."""
    if declared.get("schema") is not None:
        return declared["schema"]
    pinned = schemas.get(declared["name"])
    # None in a notebook means that the value is still to come, not that it must be null.
    return None if pinned == {"type": "null"} else pinned


def output_schema(declared: Declared, schemas: dict[str, Any]) -> Any:
    """An output by name alone keeps the kind that it was pinned with, and no more of its type.

    A sum that was pinned as 0 may become 0.5, and a list may get items of another type.
    """
    if declared.get("schema") is not None:
        return declared["schema"]
    pinned = schemas.get(declared["name"])
    kind = pinned.get("type") if isinstance(pinned, dict) else None
    if not isinstance(kind, str) or kind == "null":
        return None
    return {"type": "number" if kind == "integer" else kind}
