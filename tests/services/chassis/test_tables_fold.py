"""The fold of one partition is pure: who wins never depends on the order of what arrives."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.nodes import Node
from schemas.tables import COMPLETE_KEY, OWNER_KEY, Complete, Owner
from schemas.topics import Topic
from services.chassis.bus_records import RawRecord
from services.chassis.tables_fold import (
    LOG_ENTRIES_MAX,
    TOMBSTONES_MAX,
    Applied,
    Entry,
    Fold,
    TableSpec,
    Unreadable,
    merged,
)
from tests.builders import NOON, a_node

SPEC = TableSpec(Topic.NODES, Node.model_validate_json)
A, B = "default/a", "default/b"


def a_record(name: str, term: int, seq: int, *, gone: bool = False) -> RawRecord:
    stamped = a_node(name).model_copy(update={"term": term, "seq": seq, "generation": seq})
    value = None if gone else stamped.model_dump_json(by_alias=True).encode()
    headers = (("cellnode-term", str(term).encode()), ("cellnode-seq", str(seq).encode()))
    return RawRecord("t", 0, 0, f"default/{name}".encode(), value, headers)


def a_mark(term: int, owner: str = "x", log: str = "log") -> RawRecord:
    mark = Owner(term=term, owner=owner, log=log, at=NOON)
    return RawRecord("t", 0, 0, OWNER_KEY.encode(), mark.model_dump_json().encode())


def an_end(term: int) -> RawRecord:
    mark = Complete(term=term, log="log", at=NOON)
    return RawRecord("t", 0, 0, COMPLETE_KEY.encode(), mark.model_dump_json().encode())


def folded(*records: RawRecord, **state: Any) -> Fold:
    """The records, one after another from the fold's beginning."""
    fold = Fold(SPEC, **state)
    for record in records:
        step(fold, record)
    return fold


def step(fold: Fold, record: RawRecord) -> Applied:
    given = {name: getattr(record, name) for name in ("key", "value", "headers")}
    return fold.apply(RawRecord("t", 0, fold.position, **given))


def orders(fold: Fold) -> dict[str, tuple[int, int]]:
    return {key: entry.order for key, entry in fold.entries.items()}


@given(st.permutations([(1, 1), (1, 2), (2, 1), (2, 5), (2, 5), (3, 1)]), st.integers(0, 5))
def test_the_largest_order_wins_in_every_order_of_arrival(
    arrived: list[tuple[int, int]], tombstone: int
) -> None:
    """I3: duplicates and permutations change nothing, and a tombstone is one of the records."""
    records = [
        a_record("a", term, seq, gone=place == tombstone)
        for place, (term, seq) in enumerate(sorted(arrived))
    ]
    shuffled = [records[sorted(arrived).index(order)] for order in arrived]
    expected = {} if tombstone == 5 else {A: (3, 1)}
    assert orders(folded(*shuffled)) == expected


def test_the_same_records_in_any_order_make_the_same_table() -> None:
    records = [a_record("a", 1, 1), a_record("a", 1, 3, gone=True), a_record("b", 1, 2)]
    assert {str(orders(folded(*some))) for some in permutations(records)} == {str({B: (1, 2)})}


def test_a_smaller_term_loses_after_a_mark_and_is_told() -> None:
    fold = folded(a_record("a", 1, 1), a_mark(2))
    assert orders(fold) == {A: (1, 1)}, "what was there before the mark stays"
    assert step(fold, a_record("a", 1, 9)).lost_key == A
    assert step(fold, a_record("b", 1, 9, gone=True)).lost_key == B
    assert step(fold, a_mark(1)).lost_key == OWNER_KEY
    assert step(fold, a_record("a", 2, 1)).lost_key is None
    assert (orders(fold), fold.term) == ({A: (2, 1)}, 2)


def test_of_two_owners_of_one_term_the_first_holds_it() -> None:
    fold = folded(a_mark(1, "first"), a_mark(1, "second", "other"))
    assert fold.owner is not None
    assert (fold.owner.owner, fold.log) == ("first", "log")


def test_a_later_owner_with_another_log_means_that_the_offsets_are_others() -> None:
    live = folded(a_mark(1, log="old"))
    assert step(live, a_mark(2, log="new")).is_other_log
    assert folded(a_mark(1, log="old"), a_mark(2, log="new"), end_at=2).log == "new"


def test_a_table_is_complete_from_its_start_or_through_a_whole_republication() -> None:
    assert folded(a_record("a", 1, 1), end_at=1).is_complete
    assert not folded(a_record("a", 1, 1), end_at=2).is_complete, "not read to the end yet"
    cut: dict[str, Any] = {"began_at": 7, "position": 7, "end_at": 8}
    fold = folded(a_record("a", 1, 1), **cut)
    assert not fold.is_complete
    step(fold, an_end(1))
    assert not fold.is_complete, "the beginning of that republication was not seen"
    for record in (a_mark(1), a_record("b", 1, 2), an_end(1)):
        step(fold, record)
    assert fold.is_complete
    assert orders(fold) == {B: (1, 2)}, "what was not in it does not exist"


def test_a_republication_that_another_owner_cut_short_completes_nothing() -> None:
    fold = folded(a_mark(1), a_record("a", 1, 2), a_mark(2), began_at=7, position=7)
    step(fold, an_end(1))
    assert not fold.is_complete
    assert orders(fold) == {A: (1, 2)}


def test_outcomes_are_complete_though_their_oldest_are_gone() -> None:
    log = Fold(TableSpec(Topic.OUTCOMES, Node.model_validate_json), 7, 7, 7)
    assert log.is_complete


@pytest.mark.parametrize(
    "record",
    [
        RawRecord("t", 0, 0, b"\xff", b"{}"),
        RawRecord("t", 0, 0, A.encode(), b"{"),
        RawRecord("t", 0, 0, OWNER_KEY.encode(), None),
        RawRecord("t", 0, 0, OWNER_KEY.encode(), b'{"term": 0}'),
        RawRecord("t", 0, 0, None, b"[" * 100_000),
    ],
)
def test_what_is_unreadable_changes_only_the_position(record: RawRecord) -> None:
    fold = folded(a_mark(1), a_record("a", 1, 2))
    with pytest.raises(Unreadable):
        step(fold, record)
    assert (orders(fold), fold.term, fold.position) == ({A: (1, 2)}, 1, 3)


@pytest.mark.parametrize("term", [b"\xff", b"-1", b"", "²".encode(), b"9" * 5_000, None])
def test_headers_that_are_no_numbers_leave_the_order_to_the_body(term: bytes | None) -> None:
    whole = a_record("a", 4, 2)
    broken = (("cellnode-term", term), ("cellnode-seq", b"1"))
    assert orders(folded(RawRecord("t", 0, 0, whole.key, whole.value, broken))) == {A: (4, 2)}


def test_an_incomplete_fold_keeps_what_it_does_not_show() -> None:
    before = folded(a_record("a", 1, 1), a_record("b", 1, 2))
    after = folded(a_record("a", 1, 3), began_at=9, position=9)
    assert [change.key for change in merged(before, after)] == [A]
    assert orders(after) == {A: (1, 3), B: (1, 2)}


def test_a_complete_fold_tells_what_is_gone() -> None:
    before = folded(a_record("a", 1, 1), a_record("b", 1, 2))
    after = folded(a_record("a", 1, 1), a_record("b", 1, 3, gone=True))
    assert [(change.key, change.entry) for change in merged(before, after)] == [(B, None)]


def test_memory_is_bounded() -> None:
    fold = Fold(SPEC)
    fold.tombstones = {f"k{number}": (1, number) for number in range(TOMBSTONES_MAX)}
    step(fold, a_record("a", 2, 1, gone=True))
    assert len(fold.tombstones) == TOMBSTONES_MAX
    log = Fold(TableSpec(Topic.OUTCOMES, Node.model_validate_json))
    filler = Entry(a_node("f"), b"", (0, 0), 0)
    log.entries = {f"k{number}": filler for number in range(LOG_ENTRIES_MAX)}
    step(log, a_record("a", 1, 1))
    assert (len(log.entries), "k0" in log.entries, A in log.entries) == (
        LOG_ENTRIES_MAX,
        False,
        True,
    )
