"""What becomes of commands, on a real broker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from schemas.errors import RefusalReason
from schemas.ids import partition_of
from schemas.topics import Topic
from tests.builders import CHECKPOINT, an_id
from tests.services.provisioner.scenes import PARTITIONS, Outside, Until, running


@pytest.fixture
async def service(kafka: str, data: Path) -> AsyncIterator[object]:
    async with running(kafka, data) as process:
        yield process


def a_deploy(number: int = 1, **changes: Any) -> dict[str, Any]:
    """The documented JSON, of a checkpoint that does not exist: nothing is started."""
    spec = {"checkpoint": CHECKPOINT, "cell": "y = 1", **changes}
    return {"kind": "DeployNode", "id": str(an_id(number)), "node": "digits", "spec": spec}


async def answer(outside: Outside, until: Until, body: dict[str, Any], nth: int = 1) -> Any:
    """Send, and return the nth outcome of this command's id."""
    await outside.send(body)
    await until(lambda: len(outside.outcomes(body["id"])) >= nth)
    return outside.outcomes(body["id"])[nth - 1]


async def test_an_accepted_command_is_recorded_and_told(
    service: object, outside: Outside, until: Until
) -> None:
    told = await answer(outside, until, a_deploy())

    assert told["kind"] == "CommandAccepted"
    assert (told["generation"], told["changed"]) == (1, True)
    node = outside.tables[Topic.NODES]["default/digits"]
    assert node["uid"] == str(an_id(1))
    assert node["spec"]["cell"] == "y = 1"


async def test_a_command_sent_again_repeats_its_outcome_and_changes_nothing(
    service: object, outside: Outside, until: Until
) -> None:
    first = await answer(outside, until, a_deploy())
    again = await answer(outside, until, {**a_deploy(), "actor": "somebody else"}, 2)

    order = {"term", "seq"}
    assert {k: v for k, v in first.items() if k not in order} == {
        k: v for k, v in again.items() if k not in order
    }
    assert outside.tables[Topic.NODES]["default/digits"]["generation"] == 1


async def test_an_id_used_again_with_another_body_is_refused_and_the_first_outcome_stays(
    service: object, outside: Outside, until: Until
) -> None:
    await answer(outside, until, a_deploy())
    reused = await answer(outside, until, a_deploy(cell="y = 2"), 2)
    first = await answer(outside, until, a_deploy(), 3)
    repeated = await answer(outside, until, a_deploy(cell="y = 2"), 4)

    assert reused["reason"] == repeated["reason"] == RefusalReason.COMMAND_ID_REUSED
    assert reused["field"] == "id"
    assert first["kind"] == "CommandAccepted"
    assert outside.tables[Topic.NODES]["default/digits"]["spec"]["cell"] == "y = 1"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"kind": "MakeNode"}, "kind"),
        ({"kind": None}, "kind"),
        ({"spec": {"checkpoint": "short", "cell": "y = 1"}}, "spec.checkpoint"),
        ({"spec": {"checkpoint": CHECKPOINT}}, "spec.cell"),
        ({"spec": {"checkpoint": CHECKPOINT, "cell": "y", "instances": {"want": 0}}},
         "spec.instances.want"),
        ({"replicas": 3}, "replicas"),
        ({"at": "yesterday"}, "at"),
    ],
)  # fmt: skip
async def test_an_invalid_command_is_refused_by_field_with_a_remedy(
    service: object, outside: Outside, until: Until, changes: dict[str, Any], field: str
) -> None:
    told = await answer(outside, until, a_deploy() | changes)

    assert (told["kind"], told["reason"]) == ("CommandRejected", RefusalReason.INVALID)
    assert told["field"] == field
    assert told["remedy"]
    assert "default/digits" not in outside.tables[Topic.NODES]


async def test_a_refusal_of_the_rules_is_told_with_its_reason(
    service: object, outside: Outside, until: Until
) -> None:
    unknown = {"kind": "ScaleNode", "id": str(an_id(2)), "node": "digits", "want": 2}
    stale = a_deploy(3) | {"if_generation": 7}

    assert (await answer(outside, until, unknown))["reason"] == RefusalReason.UNKNOWN_NODE
    assert (await answer(outside, until, stale))["reason"] == RefusalReason.STALE_GENERATION


@pytest.mark.parametrize(
    "body",
    [b"no json", b"[1, 2]", b'{"kind": "DeployNode"}', b'{"id": "7", "node": "digits"}',
     b'{"id": "00000000-0000-4000-8000-000000000001", "node": "Not A Name"}', b"[" * 9_000],
)  # fmt: skip
async def test_what_nobody_can_be_answered_about_is_a_dead_letter_and_blocks_nothing(
    service: object, outside: Outside, until: Until, body: bytes
) -> None:
    await outside.send(body)
    dead = Topic.DEAD_LETTERS.value
    await until(lambda: [key for topic, key, _ in outside.log if topic == dead])

    assert (await answer(outside, until, a_deploy()))["kind"] == "CommandAccepted"


async def test_a_command_on_a_wrong_partition_is_decided_on_the_right_one(
    service: object, outside: Outside, until: Until
) -> None:
    """Foreign producers partition keys in their own way."""
    right = partition_of("default/digits", PARTITIONS)
    await outside.send_to((right + 1) % PARTITIONS, a_deploy())

    await until(lambda: outside.outcomes(a_deploy()["id"]))
    assert "default/digits" in outside.tables[Topic.NODES]


async def test_outcomes_are_repeated_by_the_next_process_too(
    kafka: str, data: Path, outside: Outside, until: Until
) -> None:
    async with running(kafka, data):
        first = await answer(outside, until, a_deploy())
    async with running(kafka, data):
        again = await answer(outside, until, a_deploy(), 2)
        reused = await answer(outside, until, a_deploy(cell="y = 3"), 3)

    assert again["id"] == first["id"]
    assert again["term"] > first["term"]
    assert reused["reason"] == RefusalReason.COMMAND_ID_REUSED
