"""What comes back, and on which partition."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from schemas.ids import partition_of
from schemas.topics import Topic
from services.chassis.bus_records import RawRecord
from services.embedded.journal_records import ended
from services.embedded.journal_restore import NUMBERS_SKIPPED, Host, brought_back
from tests.builders import NOON, a_node, after, an_instance
from tests.services.embedded.journals import NODE, command, node, record, state_of

UID = "0a1b2c3d-0000-4000-8000-000000000000"


def back(host: Path, *records: RawRecord, partitions: int = 4) -> list[RawRecord]:
    return list(brought_back(state_of(*records), Host(host), partitions))


def instance(name: str, provider: str | None = "local") -> RawRecord:
    handle = provider and {"provider": provider, "pid": 1}
    body = {"project": "default", "node": "digits", "instance": name, "handle": handle}
    return record(Topic.INSTANCES, name, body)


def next_n(raw: RawRecord) -> int:
    return int(json.loads(raw.value or b"")["next_n"])


def test_after_an_orderly_end_numbers_go_on_where_they_stood(tmp_path: Path) -> None:
    (found,) = back(tmp_path, node(), ended())

    assert next_n(found) == 3


def test_after_a_kill_numbers_that_may_have_been_given_are_skipped(tmp_path: Path) -> None:
    (found,) = back(tmp_path, node(), ended(), node(order=(1, 2)))

    assert next_n(found) == 3 + NUMBERS_SKIPPED


def test_a_number_that_lies_on_this_host_is_never_given_again(tmp_path: Path) -> None:
    for name in ("digits-0a1b2c-7000", "digits-ffffff-9000", "other", "digits-0a1b2c-x"):
        (tmp_path / name).mkdir()

    (found,) = back(tmp_path, node(uid=UID), ended())

    assert next_n(found) == 7001


@pytest.mark.parametrize(
    ("provider", "is_there", "comes_back"),
    [("local", True, True), ("local", False, False), (None, False, True), ("docker", False, True)],
)
def test_a_local_instance_whose_directory_is_gone_has_ended(
    tmp_path: Path, provider: str | None, is_there: bool, comes_back: bool
) -> None:
    name = "digits-0a1b2c-1"
    if is_there:
        (tmp_path / name).mkdir()

    assert len(back(tmp_path, instance(name, provider))) == comes_back


def test_what_ended_with_the_system_is_metered_to_its_end(tmp_path: Path) -> None:
    """Its provisioner had stopped before it; the launcher wrote down when it ended them all."""
    (tmp_path / "ended.json").write_text(json.dumps({"at": after(3600.5).isoformat()}))
    known = an_instance(a_node(), instance_type="small", created_at=NOON)
    handle = {"provider": "local", "installation": "i", "host": "h", "boot": "b"}
    body = {**json.loads(known.model_dump_json()), "handle": handle}
    later = {**body, "created_at": after(3601).isoformat()}
    name = known.instance

    found = back(tmp_path / "instances", record(Topic.INSTANCES, name, body))

    told = [(one.topic, json.loads(one.value or b"")["seconds"], one.partition) for one in found]
    place = partition_of(NODE, 4)
    assert told == [(Topic.USAGE.value, 3600.0, place), (Topic.USAGE.value, 0.5, place)]
    assert back(tmp_path / "instances", record(Topic.INSTANCES, name, later)) == []


@pytest.mark.parametrize("partitions", [1, 4, 7])
def test_records_go_where_their_place_is_whatever_the_number_of_partitions(
    tmp_path: Path, partitions: int
) -> None:
    body = json.dumps({"kind": "ScaleNode", "node": "digits"})
    records = [node(), instance("digits-0a1b2c-1", None), command(5, body), command(6, "no json")]

    *known, odd = back(tmp_path, *records, partitions=partitions)

    assert {one.partition for one in known} == {partition_of(NODE, partitions)}
    assert odd.partition < partitions
