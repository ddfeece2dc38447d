"""A node's own document, read as any client would, and held against what the node does."""

from __future__ import annotations

import json
from typing import Any
from urllib.request import urlopen

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from tests.e2e.bus import Json
from tests.e2e.world import World

SECONDS_MAX = 10.0


def document_of(world: World, node: str) -> Json:
    host, port = world.system.gateway
    with urlopen(f"http://{host}:{port}/v1/nodes/{node}/openapi.json", timeout=SECONDS_MAX) as told:
        document: Json = json.load(told)
    return document


def is_as_documented(world: World, node: str, inputs: Json) -> bool:
    """Whether the document lets the inputs pass; the node must do exactly as it says."""
    document = document_of(world, node)
    operation = document["paths"][f"/v1/nodes/{node}:execute"]["post"]
    fits = fitting(document, operation["requestBody"], {"input": inputs})
    answer = world.answers(node, **inputs)
    assert answer.status == (200 if fits else 400), answer
    if fits:
        assert fitting(document, operation["responses"]["200"], {"output": answer.output})
    return fits


def fitting(document: Json, part: Json, value: Any) -> bool:
    """Whether JSON is what a part of an OpenAPI document describes."""
    schema = part["content"]["application/json"]["schema"]
    whole = {**schema, "components": document["components"]}
    return bool(Draft202012Validator(whole).is_valid(value))
