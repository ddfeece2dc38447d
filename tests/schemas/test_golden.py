"""One JSON of every record kind ever published: they must be readable for ever."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import BaseModel

from schemas.aliases import Alias
from schemas.commands import COMMAND, Command
from schemas.events import (
    CommandAccepted,
    CommandRejected,
    GatewaySignal,
    InstanceStatusChanged,
    InstanceUsage,
    NodeStatusChanged,
)
from schemas.instances import FactKind, Instance
from schemas.messages import Event, Message
from schemas.nodes import Node
from schemas.tables import Complete, Owner

GOLDEN = Path(__file__).parent / "golden"
FACTS = FactKind.__args__  # type: ignore[attr-defined]
EVENTS: dict[str, type[BaseModel]] = {
    model.__name__: model
    for model in (
        Alias,
        CommandAccepted,
        CommandRejected,
        Complete,
        GatewaySignal,
        InstanceStatusChanged,
        InstanceUsage,
        Node,
        NodeStatusChanged,
        Owner,
    )
} | dict.fromkeys(FACTS, Instance)
COMMANDS = {model.__name__ for model in Command.__subclasses__()}
SAMPLES = sorted(GOLDEN.glob("*.json"))


def kind_of(path: Path) -> str:
    """`Node.json`, and `Node-2.json` once the record has gained fields."""
    return path.stem.split("-")[0]


def test_every_kind_has_a_golden_sample() -> None:
    assert {kind_of(path) for path in SAMPLES} == COMMANDS | set(EVENTS)


def test_no_message_is_missing_from_the_list_above() -> None:
    def leaves(model: type[Message]) -> set[str]:
        # A service may have records of its own in memory; they are never on a topic.
        below = [one for one in model.__subclasses__() if one.__module__.startswith("schemas.")]
        return {model.__name__} if not below else set().union(*map(leaves, below))

    assert leaves(Event) - {"Instance"} <= set(EVENTS)


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_golden_sample_is_read_and_written_again_without_loss(path: Path) -> None:
    sample = json.loads(path.read_text())
    kind = kind_of(path)
    adapter = COMMAND if kind in COMMANDS else None
    record = (
        adapter.validate_json(path.read_bytes())
        if adapter
        else EVENTS[kind].model_validate_json(path.read_bytes())
    )
    written = json.loads(record.model_dump_json(by_alias=True))

    assert sample["kind"] == kind
    assert written | sample == written, "a field of the sample was lost or changed"


@pytest.mark.parametrize("kind", sorted(EVENTS))
def test_a_field_from_a_later_version_survives_an_older_reader(kind: str) -> None:
    sample = json.loads((GOLDEN / f"{kind}.json").read_text()) | {"tomorrow": {"new": 1}}
    record = EVENTS[kind].model_validate(sample)

    assert json.loads(record.model_dump_json())["tomorrow"] == {"new": 1}
