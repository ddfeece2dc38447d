"""The bus as FastStream specifies it: every topic with its records, on a broker nobody connects.

Seen from cellnode as AsyncAPI has it: it receives commands and sends everything else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from faststream.kafka import KafkaBroker
from faststream.specification import AsyncAPI
from pydantic import Field

from schemas.aliases import Alias
from schemas.commands import AnyCommand
from schemas.events import (
    CommandAccepted,
    CommandRejected,
    GatewaySignal,
    InstanceStatusChanged,
    InstanceUsage,
    NodeStatusChanged,
)
from schemas.instances import Instance
from schemas.nodes import Node
from schemas.tables import Complete, Owner
from schemas.topics import DECLARATIONS, Topic, TopicDeclaration

ASYNCAPI_VERSION = "3.0.0"
Json = dict[str, Any]

_BY_KIND = Field(discriminator="kind")
# What a record of each topic may be, marks of a partition's writer included.
RECORDS: Mapping[Topic, Any] = {
    Topic.COMMANDS: AnyCommand,
    Topic.OUTCOMES: Annotated[CommandAccepted | CommandRejected | Owner, _BY_KIND],
    Topic.NODES: Annotated[Node | Owner | Complete, _BY_KIND],
    Topic.ALIASES: Annotated[Alias | Owner | Complete, _BY_KIND],
    Topic.INSTANCES: Annotated[Instance | Owner | Complete, _BY_KIND],
    Topic.STATUSES: Annotated[
        NodeStatusChanged | InstanceStatusChanged | Owner | Complete, _BY_KIND
    ],
    Topic.SIGNALS: GatewaySignal,
    Topic.USAGE: InstanceUsage,
    Topic.DEAD_LETTERS: bytes,  # Whatever it was.
}


def specification(title: str, version: str, description: str) -> Json:
    """FastStream's AsyncAPI document of the declared topics; a channel's name is its topic's."""
    broker = KafkaBroker()
    for declared in DECLARATIONS.values():
        _declare(broker, declared)
    made = AsyncAPI(
        broker,
        title=title,
        version=version,
        description=description,
        schema_version=ASYNCAPI_VERSION,
    )
    found: Json = made.to_specification().to_jsonable()
    return found


def _declare(broker: Any, declared: TopicDeclaration) -> None:
    topic = declared.topic
    named = {"title": topic.value, "description": _described(declared)}
    if topic is not Topic.COMMANDS:
        broker.publisher(topic.value, schema=RECORDS[topic], **named)
        return

    async def receive(record: Any) -> None:
        """Never called: FastStream reads its annotation."""

    receive.__annotations__["record"] = RECORDS[topic]
    broker.subscriber(topic.value, **named)(receive)


def _described(declared: TopicDeclaration) -> str:
    kept = "the last record of each key" if declared.is_compacted else "for a time"
    carries = declared.carries[:1].upper() + declared.carries[1:]
    return f"{carries}. Key: {declared.key}. Written by: {declared.writer}. Kept: {kept}."
