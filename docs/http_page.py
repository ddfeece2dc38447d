"""The HTTP api as a page, from its OpenAPI document."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from docs import texts
from docs.render import SPEC_PARTS, table, words
from services.api.written import written

Json = Mapping[str, Any]
METHODS = ("get", "head", "put", "post", "patch", "delete")


def reference() -> str:
    """What is there in a table, then every operation by its noun."""
    document = written()
    tags = [tag["name"] for tag in document["tags"]]
    return "\n\n".join(
        [
            texts.HTTP.strip(),
            f"Any request may be answered {_listed(_everywhere(document))}; below, what else.",
            _overview(document),
            *(part for tag in tags for part in _tag(document, tag)),
            "## Bodies",
            *_models(document),
        ]
    )


def _operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in document["paths"].items():
        for method in METHODS:
            if method in methods:
                yield method.upper(), path, methods[method]


def _overview(document: Json) -> str:
    rows = (
        (f"[`{method} {path}`](#{_anchor(method, path)})", one["summary"])
        for method, path, one in _operations(document)
    )
    return table(("request", "does"), rows)


def _tag(document: Json, tag: str) -> Iterator[str]:
    yield f"## {tag.capitalize()}"
    for method, path, one in _operations(document):
        if tag in one["tags"]:
            yield f"### `{method} {path}`\n\n{one['summary']}."
            if rows := _parameters(document, one):
                yield table(("parameter", "in", "type", "meaning"), rows)
            if body := _body(one):
                yield body
            yield table(("answer", "is"), _answers(document, one))


def _anchor(method: str, path: str) -> str:
    """As the usual renderers make it of the heading."""
    return f"{method}-{re.sub(r'[^a-z0-9_-]', '', path)}".lower()


def _models(document: Json) -> Iterator[str]:
    """The bodies that are told nowhere else."""
    for name, schema in sorted(document["components"]["schemas"].items()):
        if "properties" in schema and name not in SPEC_PARTS:
            told = " ".join(schema.get("description", "").split())
            yield f"### {name}\n\n{told}\n\n{_fields(document, schema)}"


def _fields(document: Json, schema: Json) -> str:
    rows = (
        (
            f"`{name}`",
            _type(document, part),
            "required" if name in schema.get("required", ()) else "",
        )
        for name, part in schema["properties"].items()
    )
    return table(("field", "type", ""), rows)


def _parameters(document: Json, operation: Json) -> list[tuple[str, ...]]:
    """Those of this operation; what all of them take is told once."""
    return [
        (f"`{one['name']}`", one["in"], _type(document, one["schema"]), one.get("description", ""))
        for one in operation["parameters"]
        if "$ref" not in one
    ]


def _type(document: Json, schema: Json) -> str:
    return words(dict(schema), document["components"]["schemas"])


def _body(operation: Json) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    told = [f"`{kind}`{_named(one)}" for kind, one in content.items()]
    return f"Body: {', or '.join(told)}." if told else ""


def _named(content: Json) -> str:
    reference = content.get("schema", {}).get("$ref", "")
    return f" {_linked(reference.rsplit('/', 1)[-1])}" if reference else ""


def _linked(name: str) -> str:
    page = "spec.md" if name in SPEC_PARTS else ""
    return f"[{name}]({page}#{name.lower()})"


def _codes(answer: Json) -> list[str]:
    name: str = answer.get("$ref", "").rsplit("/", 1)[-1]
    return name.split(".") if name else []


def _everywhere(document: Json) -> list[str]:
    """The problems that any operation may answer."""
    sets = [
        {code for answer in one["responses"].values() for code in _codes(answer)}
        for _, _, one in _operations(document)
    ]
    return sorted(set.intersection(*sets))


def _listed(codes: list[str]) -> str:
    return ", ".join(f"`{code}`" for code in codes)


def _answers(document: Json, operation: Json) -> Iterator[tuple[str, str]]:
    for status, answer in operation["responses"].items():
        if "$ref" in answer:
            if own := [code for code in _codes(answer) if code not in _everywhere(document)]:
                yield status, _listed(own)
        else:
            names = {_named(one) for one in answer.get("content", {}).values()}
            kinds = "".join(sorted(names - {""}))
            yield status, f"{answer['description'].rstrip('.')}{':' if kinds else ''}{kinds}"
