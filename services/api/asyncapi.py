"""The AsyncAPI document of the bus: topics, messages, who writes and who may."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from schemas import commands, events
from schemas.aliases import Alias
from schemas.instances import Instance
from schemas.messages import SEQ_HEADER, TERM_HEADER, TableRecord
from schemas.nodes import Node
from schemas.topics import DECLARATIONS, Topic, TopicDeclaration
from services.api.openapi_models import describe, docstring

ASYNCAPI_VERSION = "3.0.0"
_TEMPLATE = "#/components/schemas/{model}"
Json = dict[str, Any]

DESCRIPTION = """
Whoever may write to `cellnode.commands` can deploy, and whoever reads `cellnode.statuses` knows
the exact present state. Records are JSON. The key of a command is `project/node`; its producer's
own partitioner may place it. Records under keys that start with `~` are marks of a partition's
writer. Of two records of one key the larger `(term, seq)` wins; a null value means gone.
"""

_COMMANDS: tuple[type[BaseModel], ...] = get_args(get_args(commands.AnyCommand)[0])
MESSAGES: dict[Topic, tuple[type[BaseModel], ...]] = {
    Topic.COMMANDS: _COMMANDS,
    Topic.OUTCOMES: (events.CommandAccepted, events.CommandRejected),
    Topic.NODES: (Node,),
    Topic.ALIASES: (Alias,),
    Topic.INSTANCES: (Instance,),
    Topic.STATUSES: (events.NodeStatusChanged, events.InstanceStatusChanged),
    Topic.SIGNALS: (events.GatewaySignal,),
    Topic.USAGE: (events.InstanceUsage,),
}


def document() -> Json:
    """From the declarations of topics and the models of their records; pure."""
    kinds = [kind for several in MESSAGES.values() for kind in several]
    references, schema = models_json_schema(
        [(kind, "validation") for kind in kinds], ref_template=_TEMPLATE
    )
    definitions = schema["$defs"]
    describe(definitions)
    return {
        "asyncapi": ASYNCAPI_VERSION,
        "info": {"title": "cellnode", "version": "1", "description": DESCRIPTION.strip()},
        "defaultContentType": "application/json",
        "channels": {topic.value: _channel(topic) for topic in Topic},
        "operations": {
            name: operation for topic in Topic for name, operation in _operations(topic).items()
        },
        "components": {
            "messages": {
                kind.__name__: _message(kind, dict(references[kind, "validation"]))
                for kind in kinds
            },
            "schemas": {name: definitions[name] for name in sorted(definitions)},
        },
    }


def _channel(topic: Topic) -> Json:
    declared = DECLARATIONS[topic]
    messages = {kind.__name__: _reference("messages", kind) for kind in MESSAGES.get(topic, ())}
    return {
        "address": topic.value,
        "description": f"{_first_capital(declared.carries)}. {_written(declared)}",
        "messages": messages,
        "bindings": {
            "kafka": {
                "topic": topic.value,
                "topicConfiguration": _configuration(declared),
                "bindingVersion": "0.5.0",
            }
        },
    }


def _first_capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _written(declared: TopicDeclaration) -> str:
    kept = "the last record of each key" if declared.is_compacted else "for a time"
    return f"Key: {declared.key}. Written by: {declared.writer}. Kept: {kept}."


def _configuration(declared: TopicDeclaration) -> Json:
    if declared.retention_ms is None:
        return {"cleanup.policy": ["compact"]}
    return {"cleanup.policy": ["delete"], "retention.ms": declared.retention_ms}


def _operations(topic: Topic) -> Json:
    """What a program outside does: it sends commands and receives everything else."""
    action, verb = ("send", "send") if topic is Topic.COMMANDS else ("receive", "receive")
    noun = topic.value.removeprefix("cellnode.").title().replace("-", "")
    path = topic.value.replace("~", "~0").replace("/", "~1")
    return {
        f"{verb}{noun}": {
            "action": action,
            "channel": {"$ref": f"#/channels/{path}"},
            "summary": f"{action.title()} what {topic.value} carries",
            "messages": [
                {"$ref": f"#/channels/{path}/messages/{kind.__name__}"}
                for kind in MESSAGES.get(topic, ())
            ],
        }
    }


def _message(kind: type[BaseModel], payload: Json) -> Json:
    told: Json = {
        "name": kind.__name__,
        "title": kind.__name__,
        "summary": docstring(kind),
        "contentType": "application/json",
        "payload": payload,
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": "`project/node`, or the instance."},
                "bindingVersion": "0.5.0",
            }
        },
    }
    if issubclass(kind, TableRecord):
        told["headers"] = {
            "type": "object",
            "properties": {
                name: {"type": "string", "pattern": "^[0-9]+$"}
                for name in (TERM_HEADER, SEQ_HEADER)
            },
        }
    return told


def _reference(kind: str, model: type[BaseModel]) -> Json:
    return {"$ref": f"#/components/{kind}/{model.__name__}"}
