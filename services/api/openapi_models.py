"""pydantic models as components of an OpenAPI document, their comments as descriptions."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from schemas.views import ProblemView
from services.api.operations import Operation

Json = dict[str, Any]
_TEMPLATE = "#/components/schemas/{model}"
# Order among the bus's records: nothing to who reads them over HTTP.
_OF_THE_BUS = ("term", "seq")


class Models:
    """The models that a document speaks of, collected first, then referred to."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {}
        self._made: tuple[Any, Json] | None = None
        self._beside: Json = {}  # What queries refer to.
        self.add_answer(ProblemView)

    def add_operation(self, one: Operation) -> None:
        if one.body is not None:
            self._kinds[one.body, "validation"] = None
        for answer in one.answers:
            if answer.model is not None:
                self.add_answer(answer.model)

    def add_answer(self, model: type[BaseModel]) -> None:
        self._kinds[model, "serialization"] = None

    def body(self, model: type[BaseModel]) -> Json:
        return self._reference(model, "validation")

    def answer(self, model: type[BaseModel]) -> Json:
        return self._reference(model, "serialization")

    def query(self, model: type[BaseModel]) -> Json:
        """The schema of an operation's parameters; what it refers to becomes a component."""
        schema = plain_schema(model, ref_template=_TEMPLATE)
        self._beside.update(schema.pop("$defs", {}))
        return schema

    def components(self) -> Json:
        _, made = self._all()
        describe(self._beside)
        definitions = {**self._beside, **made}
        return {name: definitions[name] for name in sorted(definitions)}

    def _reference(self, model: type[BaseModel], mode: JsonSchemaMode) -> Json:
        references, _ = self._all()
        return dict(references[model, mode])

    def _all(self) -> tuple[Any, Json]:
        if self._made is None:
            references, schema = models_json_schema(list(self._kinds), ref_template=_TEMPLATE)
            definitions = schema.get("$defs", {})
            for kind, mode in self._kinds:
                name = references[kind, mode]["$ref"].rsplit("/", 1)[-1]
                definitions[name] = _for_readers(definitions[name])
            describe(definitions)
            self._made = references, definitions
        return self._made


def plain_schema(model: type[BaseModel], ref_template: str = "#/$defs/{model}") -> Json:
    """The schema of one model, with its comments, for parameters."""
    schema = model.model_json_schema(by_alias=True, ref_template=ref_template)
    _describe(schema, model)
    for part in schema.get("properties", {}).values():
        part.pop("title", None)
    return schema


def describe(definitions: Json) -> None:
    """Every definition that a model stands behind gets its words."""
    known = {kind.__name__: kind for kind in _below(BaseModel)}
    for name, definition in definitions.items():
        _describe(definition, known.get(re.sub(r"-(In|Out)put$", "", name)))
        _close(definition)


def _close(part: Any) -> None:
    """Where pydantic constrains the names of a map, it takes no others."""
    for inner in (
        part.values() if isinstance(part, dict) else part if isinstance(part, list) else ()
    ):
        _close(inner)
    if isinstance(part, dict) and isinstance(part.get("patternProperties"), dict):
        part.setdefault("additionalProperties", False)


def docstring(kind: type) -> str:
    """In one paragraph."""
    return " ".join((inspect.getdoc(kind) or "").split())


def _for_readers(definition: Json) -> Json:
    """Without what only the bus knows."""
    properties = definition.get("properties", {})
    if not all(name in properties for name in _OF_THE_BUS):
        return definition
    kept = {name: part for name, part in properties.items() if name not in _OF_THE_BUS}
    return {**definition, "properties": kept}


def _describe(definition: Json, model: type | None) -> None:
    """A field's comment becomes its description; titles that repeat names go."""
    if model is None or not issubclass(model, BaseModel):
        return
    definition["description"] = docstring(model)
    aliases = {field.alias or name: name for name, field in model.model_fields.items()}
    for name, part in definition.get("properties", {}).items():
        part.pop("title", None)
        text = comment(model, aliases.get(name, name))
        if text and "description" not in part:
            part["description"] = text


def comment(model: type, name: str) -> str:
    """What stands behind `#` where the field is declared."""
    return next((comments(kind)[name] for kind in model.__mro__ if name in comments(kind)), "")


@cache
def comments(model: type) -> dict[str, str]:
    """Of one class, by field; only fields that have one."""
    if not getattr(model, "__annotations__", None):
        return {}
    try:
        source = textwrap.dedent(inspect.getsource(model)).splitlines()
    except (OSError, TypeError):
        return {}
    found = {}
    for node in ast.walk(ast.parse("\n".join(source))):
        if isinstance(node, ast.AnnAssign):
            behind = re.search(r"  # (.+)$", source[(node.end_lineno or 1) - 1])
            if behind:
                found[ast.unparse(node.target)] = behind.group(1)
    return found


def _below(kind: type) -> Iterator[type]:
    children: list[type] = kind.__subclasses__()
    for child in children:
        yield child
        yield from _below(child)
