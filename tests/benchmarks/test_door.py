"""Parts of `make bench-door`: what becomes of one that fails, and what the figures are made of."""

import hashlib
import signal
import time
from datetime import UTC, datetime, timedelta

import pytest

from benchmarks.door_events import heard
from benchmarks.door_uploads import MIB, Blob
from benchmarks.parts import Part, measured
from benchmarks.rows import Row
from cellnode import Event


def stuck() -> list[Row]:
    time.sleep(60)
    return []


def failing() -> list[Row]:
    raise AssertionError("not within 15 s: it answers")


@pytest.mark.parametrize("rows", [stuck, failing])
def test_a_part_that_does_not_end_well_leaves_a_short_row(rows: object) -> None:
    begun = time.monotonic()

    (row,) = measured("a_part", Part(rows, 1))  # type: ignore[arg-type]

    assert (row.name, row.verdict) == ("a_part", "short")
    assert time.monotonic() - begun < 10


def test_a_part_that_ends_in_time_leaves_no_alarm_behind() -> None:
    good = Row("good", 1.0, at_most=2.0)

    assert measured("a_part", Part(lambda: [good], 1)) == [good]
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def event(status: str, seconds_ago: float) -> Event:
    at = (datetime.now(UTC) - timedelta(seconds=seconds_ago)).isoformat()
    data = {"node": "n", "status": status, "since": at, "at": at}
    return Event("", "NodeStatusChanged", data)


def test_an_event_that_changes_no_status_is_no_sample() -> None:
    events = [event("HEALTHY", 0.5), event("HEALTHY", 90), event("SUSPENDED", 0.25)]

    found = [one.since_entered for one in heard(iter(events))]

    assert len(found) == 2
    assert 500 <= found[0] < 5_000
    assert 250 <= found[1] < 5_000


def test_a_blob_is_the_same_from_any_place() -> None:
    blob = Blob(3 * MIB)
    whole = b"".join(blob.parts(0, blob.size))

    assert hashlib.sha256(whole).hexdigest() == blob.sha256
    assert b"".join(blob.parts(MIB + 7, blob.size)) == whole[MIB + 7 :]
    assert b"".join(blob.parts(5, 9)) == whole[5:9]
