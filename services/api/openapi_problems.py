"""Problem answers in an OpenAPI document: one response a status, with its possible codes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from schemas.http import NOT_EXECUTED_HEADER, PROBLEM_TYPE, PROBLEMS, REQUEST_ID_HEADER
from schemas.http import problem_type as urn

Json = dict[str, Any]
EXAMPLE_REQUEST_ID = "5f1c9a3e-1"


def by_status(codes: Iterable[str]) -> dict[str, list[str]]:
    """Sorted, as the keys of an operation's responses."""
    found: dict[int, list[str]] = {}
    for code in codes:
        found.setdefault(PROBLEMS[code].status, []).append(code)
    return {str(status): sorted(found[status]) for status in sorted(found)}


def response_name(codes: Iterable[str]) -> str:
    """Of the component that stands for an answer with one of these codes."""
    return ".".join(codes)


def response_of(codes: list[str], extra: Json | None = None) -> Json:
    """One answer, all of whose codes have the same status; `extra` are further headers."""
    headers: Json = {**(extra or {}), REQUEST_ID_HEADER: {"$ref": "#/components/headers/RequestId"}}
    if PROBLEMS[codes[0]].status == 503:
        headers["Retry-After"] = {
            "description": "Seconds after which it is worth trying again.",
            "schema": {"type": "string", "pattern": "^[0-9]+$"},
        }
    return {
        "description": "; ".join(f"{PROBLEMS[code].title} (`{code}`)" for code in codes) + ".",
        "headers": headers,
        "content": {
            PROBLEM_TYPE: {
                "schema": {
                    "allOf": [
                        {"$ref": "#/components/schemas/ProblemView"},
                        {"properties": {"code": {"enum": codes}}},
                    ]
                },
                "examples": {code: {"value": example_of(code)} for code in codes},
            }
        },
    }


def example_of(code: str) -> Json:
    status, title = PROBLEMS[code]
    return {
        "type": urn(code),
        "title": title,
        "status": status,
        "detail": f"{title}.",
        "code": code,
        "request_id": EXAMPLE_REQUEST_ID,
    }


def not_executed_header() -> Json:
    """Of answers of a node: the proof that its cell was not run."""
    return {
        NOT_EXECUTED_HEADER: {
            "description": "`true`: the cell was not run, for certain.",
            "schema": {"type": "string", "enum": ["true"]},
        }
    }
