"""The AsyncAPI document of the bus: FastStream's, and what FastStream has no words for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from schemas.ids import DEFAULT_PROJECT
from schemas.messages import SEQ_HEADER, TERM_HEADER, Message, TableRecord
from schemas.tables import COMPLETE_KEY, OWNER_KEY
from schemas.topics import DECLARATIONS, Topic, TopicDeclaration
from services.api.asyncapi_examples import EXAMPLES
from services.api.openapi_models import describe, docstring
from services.chassis.bus_specification import specification

Json = dict[str, Any]

KAFKA_BINDING = "0.5.0"  # The first that knows a topic's configuration.
_NAME = "[a-z]([-a-z0-9]{0,61}[a-z0-9])?"
_SCHEMAS = "#/components/schemas/"
GONE, DEAD_LETTER = "Gone", "DeadLetter"

DESCRIPTION = f"""
Whoever may write to `cellnode.commands` can deploy, and whoever reads `cellnode.statuses` knows
the exact present state. Said from cellnode's side: it receives commands and sends everything else;
your program does the opposite.

Records are JSON, each with its `kind`. The key of a command is `project/node` (`{DEFAULT_PROJECT}`
where you have no projects); your producer's own partitioner may place it. Records under keys that
start with `~` are marks of a partition's writer. Of two records of one key the larger
`(term, seq)` wins, whatever its offset; a null value means gone. Keep fields that you do not know.
"""

_KEYS: Mapping[str, Json] = {
    "Owner": {"type": "string", "const": OWNER_KEY},
    "Complete": {"type": "string", "const": COMPLETE_KEY},
    "Instance": {"type": "string", "description": "The instance."},
    "InstanceStatusChanged": {"type": "string", "description": "The instance."},
    "InstanceUsage": {
        "type": "string",
        "description": "`instance@hour`, the instance alone while the hour goes on.",
    },
    GONE: {"type": "string", "description": "Of what is gone."},
    DEAD_LETTER: {"type": "string", "description": "As the original had it."},
}
_KEY_OF_A_NODE: Json = {
    "type": "string",
    "pattern": f"^{_NAME}/{_NAME}$",
    "description": "`project/node`",
}
_COUNT: Json = {"type": "string", "pattern": "^[0-9]+$"}
_ORDER: Json = {
    TERM_HEADER: {**_COUNT, "description": "Of the partition's writer; also in the body."},
    SEQ_HEADER: {**_COUNT, "description": "Counts that writer's records; also in the body."},
}
_TRACE: Json = {
    "traceparent": {"type": "string", "description": "W3C: the step that wrote the record."},
    "tracestate": {"type": "string"},
}
_BURIED: Json = {
    "x-topic": {"type": "string"},
    "x-partition": _COUNT,
    "x-offset": _COUNT,
    "x-error": {"type": "string", "description": "Why it could not be processed."},
    "x-attempts": _COUNT,
    "x-value-bytes": {
        **_COUNT,
        "description": "Of a record too large to be kept whole: the beginning is here.",
    },
}


def document() -> Json:
    """From the declarations of topics and the models of their records; pure."""
    made = specification("cellnode", "1", DESCRIPTION.strip())
    schemas = {_component(name): schema for name, schema in made["components"]["schemas"].items()}
    _refine(schemas)
    kinds = {topic: _kinds(topic, made, schemas) for topic in Topic}
    names = dict.fromkeys(name for several in kinds.values() for name in several)
    return {
        "asyncapi": made["asyncapi"],
        "info": made["info"],
        "defaultContentType": made["defaultContentType"],
        "servers": {"kafka": _server(made["servers"])},
        "channels": {
            topic.value: _channel(made["channels"][topic.value], DECLARATIONS[topic], kinds[topic])
            for topic in Topic
        },
        "operations": dict(
            _operation(made["operations"][topic.value], topic, kinds[topic]) for topic in Topic
        ),
        "components": {
            "messages": {name: _message(name, schemas) for name in names},
            "schemas": {name: schemas[name] for name in sorted(schemas)},
        },
    }


def _component(name: str) -> str:
    """FastStream's name of what a topic carries, `topic:Message:Payload`, is the topic's here."""
    return name.partition(":")[0]


def _refine(schemas: Json) -> None:
    """Comments as descriptions; `kind` is needed wherever it tells records apart."""
    describe(schemas)
    schemas[Topic.DEAD_LETTERS.value]["type"] = ["string", "null"]
    for name, schema in schemas.items():
        if "oneOf" in schema:
            schema["title"] = name
        kind = schema.get("properties", {}).get("kind", {})
        if "const" in kind or "enum" in kind:
            schema["required"] = list(dict.fromkeys([*schema.get("required", ()), "kind"]))


def _kinds(topic: Topic, made: Json, schemas: Json) -> list[str]:
    """The messages of a topic: FastStream has one, whose payload is any of several."""
    if topic is Topic.DEAD_LETTERS:
        return [DEAD_LETTER]
    (reference,) = made["channels"][topic.value]["messages"].values()
    name = reference["$ref"].rpartition("/")[2]
    payload = made["components"]["messages"][name]["payload"]["$ref"].removeprefix(_SCHEMAS)
    union = schemas[_component(payload)].get("oneOf")
    named = [one["$ref"].removeprefix(_SCHEMAS) for one in union] if union else [payload]
    return [*named, GONE] if DECLARATIONS[topic].is_compacted else named


def _server(servers: Json) -> Json:
    (server,) = servers.values()
    bootstrap = {
        "default": "127.0.0.1:9092",
        "description": "As the setting KAFKA_BOOTSTRAP_SERVERS has it.",
    }
    told = {"host": "{bootstrap}", "protocol": server["protocol"]}
    return {**told, "variables": {"bootstrap": bootstrap}}


def _channel(made: Json, declared: TopicDeclaration, kinds: list[str]) -> Json:
    retention = {} if declared.is_compacted else {"retention.ms": declared.retention_ms}
    policy = declared.config()["cleanup.policy"].split(",")
    return {
        **made,
        "servers": [{"$ref": "#/servers/kafka"}],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in kinds},
        "tags": [{"name": f"written by {declared.writer}"}],
        "bindings": {
            "kafka": {
                "topic": declared.topic.value,
                "topicConfiguration": {"cleanup.policy": policy, **retention},
                "bindingVersion": KAFKA_BINDING,
            }
        },
        "x-key": declared.key,
        "x-writer": declared.writer,
    }


def _operation(made: Json, topic: Topic, kinds: list[str]) -> tuple[str, Json]:
    noun = topic.value.removeprefix("cellnode.").title().replace("-", "")
    action, channel = made["action"], made["channel"]["$ref"]
    told = {
        "summary": f"cellnode {action}s what {topic.value} carries",
        "messages": [{"$ref": f"{channel}/messages/{name}"} for name in kinds],
    }
    return f"{action}{noun}", {**made, **told}


def _message(name: str, schemas: Json) -> Json:
    model = next((kind for kind in _below(BaseModel) if kind.__name__ == name), None)
    is_raw = name == DEAD_LETTER
    told: Json = {
        "name": name,
        "title": name,
        "summary": _SUMMARIES.get(name) or (docstring(model) if model else ""),
        "contentType": "application/octet-stream" if is_raw else "application/json",
        "headers": {"type": "object", "properties": _headers(name, model)},
        "payload": _payload(name, schemas),
        "bindings": {
            "kafka": {"key": _KEYS.get(name, _KEY_OF_A_NODE), "bindingVersion": KAFKA_BINDING}
        },
    }
    if name in EXAMPLES:
        told["examples"] = [{"payload": EXAMPLES[name]}]
    return told


_SUMMARIES = {
    GONE: "A null value: what the key names is gone.",
    DEAD_LETTER: "The bytes of a record that no retry could save, and why.",
}


def _payload(name: str, schemas: Json) -> Json:
    if name == GONE:
        return {"type": "null"}
    reference = Topic.DEAD_LETTERS.value if name == DEAD_LETTER else name
    if reference not in schemas:
        raise LookupError(f"{name} has no schema")
    return {"$ref": f"{_SCHEMAS}{reference}"}


def _headers(name: str, model: type[BaseModel] | None) -> Json:
    """Marks and tombstones are ordered as the records of tables are."""
    if name == DEAD_LETTER:
        return {**_BURIED, **_TRACE}
    if model is not None and issubclass(model, Message) and not issubclass(model, TableRecord):
        return _TRACE
    return {**_ORDER, **_TRACE}


def _below(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for child in kind.__subclasses__():
        if child.__module__.startswith("schemas."):
            yield child
        yield from _below(child)
