"""What the outside consumer in `examples/` makes of records is what our own fold makes of them."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from examples.follow_statuses import Statuses
from schemas.statuses import InstanceStatus
from schemas.tables import COMPLETE_KEY, OWNER_KEY, Complete, Owner
from schemas.topics import Topic
from services.chassis.bus_records import RawRecord
from services.chassis.tables_fold import Fold, TableSpec, Unreadable
from services.health.app import SPECS
from tests.builders import NOON, a_node
from tests.services.health.test_nodes import an_event
from tests.sources import ROOT

SPEC: TableSpec = next(spec for spec in SPECS if spec.topic is Topic.STATUSES)
NODE = a_node()
PROGRAM = ROOT / "examples" / "follow_statuses.py"
ORDERS = st.tuples(st.integers(0, 3), st.integers(0, 4))


def a_status(n: int, order: tuple[int, int], *, is_gone: bool) -> tuple[str, bytes | None, Any]:
    event = an_event(NODE, n, InstanceStatus.HEALTHY).model_copy(
        update={"term": order[0], "seq": order[1]}
    )
    headers = (
        ("cellnode-term", str(order[0]).encode()),
        ("cellnode-seq", str(order[1]).encode()),
    )
    return event.key, None if is_gone else event.model_dump_json().encode(), headers


def a_mark(term: int, owner: str) -> tuple[str, bytes, Any]:
    mark = Owner(term=term, owner=owner, log="log", at=NOON)
    return OWNER_KEY, mark.model_dump_json().encode(), ()


def an_end(term: int) -> tuple[str, bytes, Any]:
    return COMPLETE_KEY, Complete(term=term, log="log", at=NOON).model_dump_json().encode(), ()


RECORDS = st.one_of(
    st.builds(a_status, st.integers(1, 3), ORDERS, is_gone=st.booleans()),
    st.builds(a_mark, st.integers(1, 3), st.sampled_from(["a", "b"])),
    st.builds(an_end, st.integers(1, 3)),
    st.sampled_from([("x", b"{", ()), ("x", b"[]", ()), ("x", b"[1]", ()), ("x", b"{}", ())]),
)


def both(records: list[tuple[str, bytes | None, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    fold, statuses = Fold(SPEC), Statuses()
    for offset, (key, value, headers) in enumerate(records):
        raw = RawRecord(Topic.STATUSES.value, 0, offset, key.encode(), value, headers)
        with suppress(Unreadable):
            fold.apply(raw)
        statuses.hear(SimpleNamespace(**vars(raw)))
    ours = {key: json.loads(entry.value) for key, entry in fold.entries.items()}
    return ours, statuses.present


@given(st.lists(RECORDS, max_size=12))
def test_it_knows_what_our_own_fold_knows(records: list[Any]) -> None:
    ours, outside = both(records)

    assert outside == ours


def test_a_zombies_late_record_a_repeat_and_a_tombstone() -> None:
    (one, two) = (a_status(n, (2, n), is_gone=False) for n in (1, 2))
    late = a_status(1, (1, 9), is_gone=True)
    gone = a_status(2, (2, 5), is_gone=True)
    ours, outside = both([a_mark(2, "a"), one, two, late, one, gone, two])

    assert list(outside) == [one[0]]
    assert outside == ours


def test_what_a_whole_republication_leaves_out_is_gone() -> None:
    (one, two) = (a_status(n, (1, n), is_gone=False) for n in (1, 2))
    again = a_status(1, (2, 1), is_gone=False)
    ours, outside = both([a_mark(1, "a"), one, two, a_mark(2, "b"), again, an_end(2)])

    assert list(outside) == [one[0]]
    assert outside == ours


def test_an_address_without_kafka_is_named_with_what_was_meant() -> None:
    command = [sys.executable, str(PROGRAM), "127.0.0.1:1", "--once"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert ran.returncode == 1
    assert "127.0.0.1:1 cannot be read" in ran.stderr
    assert "host:port" in ran.stderr
    assert "Traceback" not in ran.stderr
