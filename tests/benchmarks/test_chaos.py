"""The judges of `make chaos`: each offence is found, and what is right is left alone."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from benchmarks.chaos_checks import (
    doubled,
    illegal_moves,
    leaked,
    metered_differences,
    projection_differences,
    removed_while_wanted,
    unmade,
)
from benchmarks.chaos_faults import drawn
from benchmarks.chaos_oracle import Oracle, Said, differing_nodes, name_of, said_by_name
from benchmarks.chaos_reading import Record, folded
from benchmarks.chaos_schedule import PARTITIONERS, deploy, planned, scale
from schemas.instances import Deletion
from schemas.statuses import Reason
from tests.builders import NOON, a_node, an_instance

NODE = "default/digits"


def record(key: str, body: Any, *, term: int = 1, seq: int = 1, at: float = 0.0) -> Record:
    value = None if body is None else json.dumps(body).encode()
    return Record(key, value, {"cellnode-term": str(term), "cellnode-seq": str(seq)}, at)


def owner(term: int) -> Record:
    return record("~owner", {"term": term})


def status(value: str, *before: str, seq: int, uid: str = "u") -> Record:
    steps = [{"status": one, "at": f"{n:02}"} for n, one in enumerate([*before, value])]
    body = {"kind": "InstanceStatusChanged", "status": value, "uid": uid, "transitions": steps}
    return record("digits-3fa9c1-1", body, seq=seq)


def commands(*bodies: dict[str, Any]) -> list[list[Record]]:
    return [[record(NODE, body) for body in bodies]]


def test_a_late_write_of_a_former_owner_is_not_believed() -> None:
    log = [owner(1), record("a", 1), owner(2), record("a", 2, term=2), record("a", 3, seq=9)]

    assert folded([log])["a"].body == 2


def test_a_schedule_is_the_same_for_the_same_seed_and_has_everything_in_it() -> None:
    one, again = list(planned(7, 2_000, 50)), list(planned(7, 2_000, 50))
    names = [name_of(each.body) for each in one]

    assert [each.body["node"] for each in one] == [each.body["node"] for each in again]
    assert {each.partitioner for each in one} == set(PARTITIONERS)
    assert len(set(names)) < len(names)  # Some are repeated,
    assert len({identity for identity, _ in names}) < len(set(names))  # some ids used again.


def test_kafka_is_killed_once_among_the_faults() -> None:
    faults = drawn(3, 64, 30.0, 3)

    assert len(faults) == 64
    assert [one.seconds for one in faults if one.kind == "kafka_kill"] == [30.0]
    assert faults == drawn(3, 64, 30.0, 3)


MADE = {**deploy("digits", want=1), "id": str(UUID(int=1))}
GROWN = {**scale("digits", 2), "id": str(UUID(int=2))}


class TestOracle:
    def judged(self, *said: Said) -> Oracle:
        names = [name_of(MADE), name_of(GROWN)]
        oracle = Oracle({name: {one} for name, one in zip(names, said, strict=True)})
        oracle.read(commands(MADE, GROWN, GROWN))
        return oracle

    def test_what_is_as_decided_is_right(self) -> None:
        right = Said("CommandAccepted", "", 1, True), Said("CommandAccepted", "", 2, True)
        oracle = self.judged(*right)

        assert oracle.wrong == []
        assert oracle.nodes[NODE].spec.instances.want == 2

    @pytest.mark.parametrize(
        "said",
        [
            Said("CommandRejected", reason="UNKNOWN_NODE"),
            Said("CommandAccepted", "", 2, False),
            Said("CommandAccepted", "", 3, True),
        ],
    )
    def test_another_outcome_than_that_of_the_fold_is_found(self, said: Said) -> None:
        assert len(self.judged(Said("CommandAccepted", "", 1, True), said).wrong) == 1

    def test_a_node_that_is_not_the_fold_of_its_commands_is_found(self) -> None:
        right = Said("CommandAccepted", "", 1, True), Said("CommandAccepted", "", 2, True)
        oracle = self.judged(*right)
        node = oracle.nodes[NODE]
        other = node.model_copy(update={"generation": 9})

        for known, found in ((node, []), (other, [NODE])):
            kept = {NODE: Record(NODE, known.model_dump_json().encode(), {}, 0.0)}
            assert differing_nodes(oracle, kept) == found

    def test_two_outcomes_of_one_command_are_found_and_a_repeat_is_none(self) -> None:
        told = {"command": "c", "digest": "d", "kind": "CommandRejected", "reason": "INVALID"}
        other = {**told, "reason": "UNKNOWN_NODE"}

        assert len(said_by_name([[record(NODE, told), record(NODE, told)]])["c", "d"]) == 1
        assert len(said_by_name([[record(NODE, told), record(NODE, other)]])["c", "d"]) == 2


START = ("UNDEFINED", "CREATED", "STARTED", "PREPARING")


@pytest.mark.parametrize(
    ("log", "count"),
    [
        ([status("UNDEFINED", seq=1), status("CREATED", "UNDEFINED", seq=2)], 0),
        ([status("UNDEFINED", seq=1), status("HEALTHY", *START, seq=2)], 0),  # With its history.
        ([status("UNDEFINED", seq=1), status("HEALTHY", "UNDEFINED", seq=2)], 1),
        ([status("HEALTHY", seq=1)], 1),
        ([status("UNDEFINED", seq=1), record("digits-3fa9c1-1", None, seq=2)], 1),
        ([status("UNDEFINED", seq=1), status("UNDEFINED", seq=2, uid="other")], 1),
    ],
)
def test_a_move_that_the_table_forbids_is_seen(log: list[Record], count: int) -> None:
    assert len(illegal_moves([[owner(1), *log]])) == count


def life(instance: str, **times: float | None) -> dict[str, Any]:
    known = {"made_at": 1.0, "exited_at": None, "stopped_at": None, "removed_at": None}
    return {"instance": instance, "place": NODE, **known, **times}


class TestInstances:
    node = a_node()
    instance = an_instance(node)
    name = instance.instance

    def on_record(self, **changes: Any) -> Record:
        fact = self.instance.model_copy(update=changes)
        return record(self.name, json.loads(fact.model_dump_json()), seq=len(changes) + 1, at=5.0)

    def test_one_that_was_made_twice_is_found(self) -> None:
        assert doubled([life(self.name)]) == []
        assert len(doubled([life(self.name, removed_at=2.0), life(self.name)])) == 1

    def test_one_that_nobody_knows_is_found(self) -> None:
        assert leaked([life(self.name)], {self.name: self.on_record()}) == []
        assert leaked([life(self.name)], {}) == [self.name]

    def test_one_too_few_or_too_many_is_found(self) -> None:
        known, nodes = {self.name: self.on_record()}, {NODE: self.node}
        suspended = {NODE: self.node.model_copy(update={"suspended": True})}

        assert unmade([life(self.name)], known, nodes) == []
        assert len(unmade([life(self.name, exited_at=2.0)], known, nodes)) == 1
        assert len(unmade([life(self.name)], known, suspended)) == 1
        assert len(unmade([], {}, nodes)) == 1

    def test_one_that_was_stopped_before_it_was_on_record_is_found(self) -> None:
        leaving = self.on_record(deleting=Deletion(reason=Reason.SCALED_DOWN, at=NOON))
        log = [[owner(1), self.on_record(), leaving]]

        assert removed_while_wanted([life(self.name, stopped_at=6.0)], log) == []
        assert removed_while_wanted([life(self.name, stopped_at=4.0)], log) == [self.name]
        assert removed_while_wanted([life(self.name, exited_at=4.0)], log) == []


def test_a_projection_that_differs_in_a_byte_is_found() -> None:
    wanted = {"nodes": {"a": b"1", "b": b"2"}}

    assert projection_differences(wanted, wanted) == []
    assert projection_differences({"nodes": {"a": b"1", "c": b"2"}}, wanted) == [
        "nodes b",
        "nodes c",
    ]


def test_metered_seconds_are_held_against_the_life_of_the_vm() -> None:
    def usage(hour: str, seconds: float) -> Record:
        return record("a", {"instance": "a", "hour": hour, "seconds": seconds})

    truth = [life("a", exited_at=12.0, removed_at=13.0), life("b", exited_at=3.0, removed_at=3.0)]
    log = [[usage("12", 4.0), usage("12", 7.0), usage("12", 5.0), usage("13", 4.0)]]

    assert metered_differences(truth, log) == {"a": 0.0, "b": 2.0}
