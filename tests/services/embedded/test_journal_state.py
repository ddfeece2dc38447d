"""What the journal knows after any story of the bus."""

from __future__ import annotations

import random

import pytest

from schemas.topics import Topic
from services.chassis.bus_records import RawRecord
from services.embedded import journal_state, journal_usage
from services.embedded.journal_records import decided, decode, encode, ended
from tests.services.embedded.journals import (
    NODE,
    command,
    node,
    outcome,
    record,
    state_of,
    values,
)


@pytest.mark.parametrize(
    "raw",
    [
        node(),
        RawRecord("cellnode.commands", 3, 9, None, b"\xff\x00", (("a", None), ("b", b"\xfe")), 5),
        RawRecord("cellnode.nodes", 0, 0, b"k", None),
        decided(2, 2**40),
        ended(),
    ],
)
def test_every_record_survives_its_way_through_a_frame(raw: RawRecord) -> None:
    assert list(decode(encode([raw, raw]))) == [raw, raw]


def test_bytes_that_are_no_records_are_refused() -> None:
    with pytest.raises(ValueError, match="no record of a journal"):
        list(decode(encode([node()])[:-1]))
    with pytest.raises(ValueError, match="no record of a journal"):
        list(decode(b"short"))


def test_the_last_record_of_a_key_stays_and_a_tombstone_ends_it() -> None:
    old, new = node(order=(1, 1)), node(order=(1, 2), next_n=9)

    assert list(state_of(old, new).known()) == [new]
    assert list(state_of(old, new, record(Topic.NODES, NODE, None, (1, 3))).known()) == []


def test_whoever_lost_the_partition_writes_in_vain() -> None:
    mark = record(Topic.NODES, "~owner", {"term": 2}, (2, 0))
    new = node(order=(2, 1))

    for late in (node(order=(1, 8)), record(Topic.NODES, NODE, None, (1, 9))):
        assert list(state_of(node(), mark, new, late).known()) == [new]


def test_marks_of_owners_are_never_brought_back() -> None:
    marks = [record(Topic.NODES, key, {"term": 1}) for key in ("~owner", "~complete")]

    assert list(state_of(*marks, node()).known()) == [node()]


def test_commands_are_kept_until_they_are_decided() -> None:
    state = state_of(command(0, "a"), command(1, "b"), command(0, "c", partition=1))
    assert state.has_undecided

    state.apply(decided(0, 1))
    assert values(state) == [b"b", b"c"]
    state.apply(command(0, "a"))
    assert values(state) == [b"b", b"c"]

    state.apply(decided(0, 2))
    state.apply(decided(1, 1))
    assert not state.has_undecided
    assert state.bytes == 0


def test_an_outcome_told_again_is_kept_once_and_a_reused_id_beside_it() -> None:
    again, other = outcome("c1", (1, 2)), outcome("c1", (1, 3), digest="other")

    assert list(state_of(outcome("c1"), again, other).known()) == [again, other]


def usage(key: str, text: str = "", day: int = 0) -> RawRecord:
    day_ms = day * 24 * 3600 * 1000
    return RawRecord(Topic.USAGE.value, 0, 0, key.encode(), text.encode(), timestamp_ms=day_ms)


def test_of_usage_the_last_record_of_a_key_is_kept_for_thirteen_months() -> None:
    first, last, other = usage("a@12", "1"), usage("a@12", "2", day=1), usage("a", "3", day=1)

    assert values(state_of(first, other, last)) == [b"3", b"2"]
    assert values(state_of(first, other, last, usage("b", "4", day=397))) == [b"3", b"2", b"4"]
    assert values(state_of(first, other, last, usage("b", "4", day=398))) == [b"4"]


def test_usage_survives_being_written_anew() -> None:
    before = state_of(usage("a@12", "1"), usage("a", "2"))

    assert values(state_of(*before.snapshot())) == [b"1", b"2"]


def test_usage_is_told_again_before_the_broker_forgets_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(journal_usage, "TOLD_AGAIN_BYTES", 10_000)
    state = state_of(usage("a@12", "x" * 5_000))
    assert state.told_again() == []
    for _ in range(60):
        state.apply(usage("a"))

    again = state.told_again()

    assert again == [usage("a@12", "x" * 5_000), usage("a")]
    for one in again:
        state.apply(one)
    assert state.told_again() == []


def test_of_usage_the_newest_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_usage, "USAGE_BYTES_MAX", 1_000)
    state = state_of(*(usage(f"a@{hour}") for hour in range(50)))

    assert state.bytes <= 1_000
    assert [one.key for one in state.known()][-1] == b"a@49"


def test_of_outcomes_and_commands_the_newest_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_state, "LOG_BYTES_MAX", 1_000)
    many = [outcome(f"c{n}", (1, n)) for n in range(50)]
    more = [command(n, "x" * 100) for n in range(50)]

    state = state_of(*many, *more)

    kept = list(state.known())
    assert state.bytes <= 2_000
    assert kept[-1] == more[-1]
    assert many[-1] in kept
    assert not {many[0], more[0]} & set(kept)


def test_anything_on_the_topics_is_bearable() -> None:
    odd = [
        RawRecord(topic.value, 0, 0, key, value)
        for topic in (Topic.NODES, Topic.OUTCOMES, Topic.COMMANDS, Topic.SIGNALS)
        for key in (None, b"", b"\xff", b"~owner", b"~else")
        for value in (None, b"", b"\xff", b"[]", b"[" * 9_000, b'{"term": "x"}')
    ]

    state = state_of(*odd)

    assert all(one.topic != Topic.SIGNALS.value for one in state.known())


@pytest.mark.parametrize("seed", range(20))
def test_a_snapshot_leads_to_the_same_state_at_every_moment(seed: int) -> None:
    """Crash points of compaction: whatever came before is forgotten, what follows goes on."""
    dice = random.Random(seed)
    story = [_something(dice, n) for n in range(200)]
    whole, compacted = state_of(), state_of()
    for raw in story:
        whole.apply(raw)
        compacted.apply(raw)
        if dice.random() < 0.1:
            compacted = state_of(*decode(encode(compacted.snapshot())))
        assert _meaning(whole) == _meaning(compacted)
    assert whole.bytes == compacted.bytes


def _something(dice: random.Random, n: int) -> RawRecord:
    term = dice.randint(max(1, n // 40), n // 40 + 1)
    name = f"n{dice.randint(0, 4)}"
    return dice.choice(
        [
            node(name, (term, n), next_n=n),
            record(Topic.NODES, f"default/{name}", None, (term, n)),
            record(Topic.NODES, "~owner", {"term": term}, (term, n)),
            outcome(f"c{n % 7}", (term, n)),
            command(n, str(n)),
            decided(0, dice.randint(0, n)),
        ]
    )


def _meaning(state: journal_state.JournalState) -> list[tuple[str, bytes | None, bytes | None]]:
    return sorted((one.topic, one.key, one.value) for one in state.known())
