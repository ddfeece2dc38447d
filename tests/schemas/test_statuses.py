"""Both status machines, pair by pair: a new status needs a decision about each move."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise, product
from typing import TypeVar

import pytest

from schemas.errors import IllegalMove
from schemas.statuses import (
    INSTANCE_MOVES,
    NODE_MOVES,
    SENTENCES,
    START_PATH,
    TRANSITIONS_MAX,
    InstanceStatus,
    NodeStatus,
    Reason,
    Transition,
    move,
    remember,
)
from tests.builders import NOON

Status = TypeVar("Status", InstanceStatus, NodeStatus)

# Rows: now. Columns: wanted, in the order of the header. s stays, x moves, . is refused.
INSTANCE_PAIRS = """
             UNDEFINED CREATED STARTED PREPARING HEALTHY UNHEALTHY DELETING
UNDEFINED    s         x       .       .         .       x         x
CREATED      .         s       x       .         .       x         x
STARTED      .         .       s       x         .       x         x
PREPARING    .         .       .       s         x       x         x
HEALTHY      .         .       .       .         s       x         x
UNHEALTHY    .         .       .       .         x       s         x
DELETING     .         .       .       .         .       .         s
"""
NODE_PAIRS = """
             CREATED HEALTHY UNHEALTHY SUSPENDED DELETING
CREATED      s       x       x         x         x
HEALTHY      .       s       x         x         x
UNHEALTHY    .       x       s         x         x
SUSPENDED    .       x       x         s         x
DELETING     .       .       .         .         s
"""


def pairs(table: str) -> list[tuple[str, str, str]]:
    header, *rows = [line.split() for line in table.strip().splitlines()]
    return [
        (row[0], wanted, mark) for row in rows for wanted, mark in zip(header, row[1:], strict=True)
    ]


@pytest.mark.parametrize(("now", "wanted", "mark"), pairs(INSTANCE_PAIRS))
def test_every_pair_of_instance_statuses_is_legal_or_refused(
    now: str, wanted: str, mark: str
) -> None:
    judge(INSTANCE_MOVES, InstanceStatus(now), InstanceStatus(wanted), mark)


@pytest.mark.parametrize(("now", "wanted", "mark"), pairs(NODE_PAIRS))
def test_every_pair_of_node_statuses_is_legal_or_refused(now: str, wanted: str, mark: str) -> None:
    judge(NODE_MOVES, NodeStatus(now), NodeStatus(wanted), mark)


def judge(
    moves: Mapping[Status, frozenset[Status]], now: Status, wanted: Status, mark: str
) -> None:
    if mark == ".":
        with pytest.raises(IllegalMove):
            move(moves, now, wanted)
    else:
        assert (mark == "s") == (now is wanted)
        assert move(moves, now, wanted) is wanted


def test_the_tables_above_have_all_49_and_25_pairs() -> None:
    expected = set(product([s.value for s in InstanceStatus], repeat=2))
    assert {(now, wanted) for now, wanted, _ in pairs(INSTANCE_PAIRS)} == expected
    assert len(pairs(INSTANCE_PAIRS)) == 49
    expected = set(product([s.value for s in NodeStatus], repeat=2))
    assert {(now, wanted) for now, wanted, _ in pairs(NODE_PAIRS)} == expected
    assert len(pairs(NODE_PAIRS)) == 25


def test_a_good_start_is_a_path_of_legal_moves() -> None:
    for now, wanted in pairwise(START_PATH):
        assert wanted in INSTANCE_MOVES[now]


def test_every_reason_has_a_sentence_for_people() -> None:
    assert set(SENTENCES) == set(Reason)
    assert all(sentence.endswith(".") and sentence[0].isupper() for sentence in SENTENCES.values())


def test_history_keeps_the_last_twenty_transitions() -> None:
    history: tuple[Transition, ...] = ()
    for number in range(TRANSITIONS_MAX + 5):
        step = Transition(
            status="HEALTHY", reason=Reason.READY, at=NOON, evidence={"number": str(number)}
        )
        history = remember(history, step)

    assert len(history) == TRANSITIONS_MAX
    assert history[0].evidence == {"number": "5"}
    assert history[-1].evidence == {"number": "24"}
