"""The AsyncAPI document: whole, true to the records, and the one that is committed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator, ValidationError  # type: ignore[import-untyped]
from pydantic import BaseModel, TypeAdapter

from schemas.instances import FactKind
from schemas.messages import Message
from schemas.topics import DECLARATIONS, Topic
from services.api import asyncapi
from services.api.asyncapi_examples import EXAMPLES
from services.chassis.bus_specification import RECORDS
from tests.builders import an_id
from tests.schemas.bus_document import validator_of

GOLDEN = Path(__file__).parent.parent.parent / "schemas" / "golden"
DOCUMENT = asyncapi.document()
MESSAGES: dict[str, Any] = DOCUMENT["components"]["messages"]
SAMPLES = sorted(GOLDEN.glob("*.json"))


def message_of(sample: dict[str, Any]) -> str:
    return "Instance" if sample["kind"] in get_args(FactKind) else str(sample["kind"])


def topics_of(name: str) -> list[str]:
    return [topic for topic, one in DOCUMENT["channels"].items() if name in one["messages"]]


def leaves(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    below = [one for one in model.__subclasses__() if one.__module__.startswith("schemas.")]
    for child in below:
        yield from leaves(child)
    if not below:
        yield model


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_every_record_ever_published_is_as_the_document_says(path: Path) -> None:
    sample = json.loads(path.read_text())
    topics = topics_of(message_of(sample))

    assert topics != []
    for topic in topics:
        validator_of(DOCUMENT, f"#/components/schemas/{_payload(topic)}").validate(sample)
    validator_of(DOCUMENT, MESSAGES[message_of(sample)]["payload"]["$ref"]).validate(sample)


def _payload(topic: str) -> str:
    """What may lie on a topic: any of several, or the one record."""
    names = [name for name in DOCUMENT["channels"][topic]["messages"] if name != asyncapi.GONE]
    return topic if topic in DOCUMENT["components"]["schemas"] else names[0]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_the_key_of_a_record_is_as_the_document_says(path: Path) -> None:
    sample = json.loads(path.read_text())
    name = message_of(sample)
    key = MESSAGES[name]["bindings"]["kafka"]["key"]
    model = next((one for one in leaves(Message) if one.__name__ == name), None)
    written = key["const"] if model is None else model.model_validate(sample).key  # type: ignore[attr-defined]

    Draft202012Validator(key).validate(written)
    assert (model is None) == written.startswith("~")


def test_a_record_without_its_kind_or_with_a_strange_field_is_found() -> None:
    command = {"kind": "DeleteNode", "id": str(an_id(1)), "node": "digits"}
    commands = validator_of(DOCUMENT, "#/components/schemas/cellnode.commands")
    commands.validate(command)

    for wrong in ({**command, "more": 1}, {**command, "kind": "Delete"}, {**command, "node": "A"}):
        with pytest.raises(ValidationError):
            commands.validate(wrong)
    del command["kind"]
    with pytest.raises(ValidationError):
        commands.validate(command)


def test_every_message_stands_on_its_topic_and_on_no_other() -> None:
    for model in leaves(Message):
        assert topics_of(model.__name__) == [model.topic.value], model  # type: ignore[attr-defined]


def test_every_topic_tells_its_configuration_its_writer_and_what_ends_a_key() -> None:
    assert list(DOCUMENT["channels"]) == [topic.value for topic in Topic]
    for topic, declared in DECLARATIONS.items():
        channel = DOCUMENT["channels"][topic.value]
        told = channel["bindings"]["kafka"]["topicConfiguration"]
        wanted = declared.config()
        assert ",".join(told["cleanup.policy"]) == wanted["cleanup.policy"]
        assert str(told.get("retention.ms", "")) == wanted.get("retention.ms", "")
        assert channel["x-writer"] == declared.writer
        assert (asyncapi.GONE in channel["messages"]) is declared.is_compacted


def test_only_commands_are_received() -> None:
    actions = {
        one["channel"]["$ref"].removeprefix("#/channels/"): one["action"]
        for one in DOCUMENT["operations"].values()
    }

    assert [topic for topic, action in actions.items() if action == "receive"] == [
        Topic.COMMANDS.value
    ]
    assert set(actions) == {topic.value for topic in Topic}


def test_what_the_document_names_may_be_named_so() -> None:
    """AsyncAPI takes letters, digits, dots, hyphens and underscores for components."""
    names = [name for kind in DOCUMENT["components"].values() for name in kind]

    assert [name for name in names if not re.fullmatch(r"[\w.-]+", name)] == []


@pytest.mark.parametrize("name", EXAMPLES)
def test_every_example_is_such_a_record(name: str) -> None:
    topic = Topic(topics_of(name)[0])

    TypeAdapter(RECORDS[topic]).validate_json(json.dumps(EXAMPLES[name]))
    validator_of(DOCUMENT, f"#/components/schemas/{name}").validate(EXAMPLES[name])
