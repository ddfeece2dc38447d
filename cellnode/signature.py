"""What a node's own OpenAPI document says of its inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cellnode.values import Read, Schema, reader_of, with_base64

REFERENCES_MAX = 64
JSON = "application/json"


class Signature:
    """How inputs are sent and outputs are read, beyond JSON's own types."""

    def __init__(self, document: Any = None) -> None:
        self._document = document if isinstance(document, Mapping) else {}
        operation = self._operation()
        answers = operation.get("responses")
        good = answers.get("200") if isinstance(answers, Mapping) else None
        self._inputs = self._variables(operation.get("requestBody"), "input")
        outputs = self._variables(good, "output")
        found = {name: reader_of(each, self.resolve) for name, each in outputs.items()}
        self._reads: dict[str, Read] = {name: read for name, read in found.items() if read}

    def read(self, outputs: dict[str, Any]) -> dict[str, Any]:
        """The outputs as Python values."""
        for name in self._reads.keys() & outputs.keys():
            outputs[name] = self._reads[name](outputs[name])
        return outputs

    def with_base64(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs with bytes as base64 text, where the node takes such."""
        return {
            name: with_base64(value, self._inputs.get(name), self.resolve)
            for name, value in inputs.items()
        }

    def resolve(self, schema: Any) -> Schema:
        """The schema behind references within the document; empty where there is none."""
        for _ in range(REFERENCES_MAX):
            if not isinstance(schema, Mapping):
                return {}
            reference = schema.get("$ref")
            if not isinstance(reference, str) or not reference.startswith("#/"):
                return schema
            schema = self._at(reference)
        return {}

    def _at(self, reference: str) -> Any:
        found: Any = self._document
        for part in reference[2:].split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list):
                found = found[int(name)] if name.isdecimal() and int(name) < len(found) else None
            else:
                found = found.get(name) if isinstance(found, Mapping) else None
        return found

    def _operation(self) -> Schema:
        paths = self._document.get("paths")
        for path, item in paths.items() if isinstance(paths, Mapping) else ():
            if path.endswith(":execute") and isinstance(item, Mapping):
                return self.resolve(item.get("post"))
        return {}

    def _variables(self, message: Any, member: str) -> Mapping[str, Any]:
        """The schemas below `input` or `output` of a request's or an answer's JSON."""
        content = self.resolve(message).get("content", {})
        body = self.resolve(content.get(JSON, {}).get("schema"))
        variables = self.resolve(body.get("properties", {}).get(member))
        found: Mapping[str, Any] = variables.get("properties", {})
        return found
