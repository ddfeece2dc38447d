"""Records against the AsyncAPI document, as a program outside would check them."""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

Json = dict[str, Any]


def validator_of(document: Json, reference: str) -> Draft202012Validator:
    """Of one schema of the document; formats are no part of it."""
    return Draft202012Validator({"$ref": reference, "components": document["components"]})


def complaints(document: Json, topic: str, value: Any, headers: dict[str, str]) -> list[str]:
    """Why a record of a topic is none of the topic's messages; empty if it is one."""
    components = document["components"]
    said: list[str] = []
    for name in document["channels"][topic]["messages"]:
        message = components["messages"][name]
        wrong = [
            f"{name}: {error.message}"
            for schema, told in ((message["payload"], value), (message["headers"], headers))
            for error in Draft202012Validator({**schema, "components": components}).iter_errors(
                told
            )
        ]
        if not wrong:
            return []
        said += wrong
    return said
