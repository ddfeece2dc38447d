"""The log of events on its own: what is forgotten, and what happens when offsets change meaning."""

from __future__ import annotations

from schemas.events import NodeStatusChanged
from schemas.ids import partition_of
from schemas.statuses import NodeStatus
from schemas.topics import Topic
from services.api.event_log import EventLog, StatusMark
from services.api.positions import Source, sources_of
from services.api.streams import Filter, Reader
from services.chassis.tables import Batch, Position
from services.chassis.tables_fold import Change, Entry
from tests.services.api.telling import a_status

HOME = partition_of("default/digits", 4)
SOURCE: Source = (Topic.STATUSES, HOME)
UNHEALTHY = NodeStatus.UNHEALTHY


def a_log(events_max: int = 10, bytes_max: int = 10**6) -> EventLog:
    return EventLog(events_max=events_max, bytes_max=bytes_max)


def a_change(offset: int, event: NodeStatusChanged) -> Change:
    value = event.model_dump_json().encode()
    entry = Entry(StatusMark.model_validate_json(value), value, (1, offset), offset)
    return Change(event.key, entry, offset, 0)


def a_batch(
    *changes: Change, log: str = "one", is_rebuilt: bool = False, is_history: bool = False
) -> Batch:
    next_offset = max((one.offset for one in changes), default=-1) + 1
    position = Position(log, next_offset)
    return Batch(*SOURCE, changes, position, is_rebuilt, is_history)


def a_reader(log: EventLog) -> Reader:
    return Reader(log, Filter("default"), sources_of([HOME]))


def live(log: EventLog, *changes: Change) -> None:
    """As the tables tell it: what was there first, then that it is served, then what comes."""
    log.heard(a_batch(is_history=True))
    log.heard(a_batch(is_rebuilt=True))
    log.heard(a_batch(*changes))


def test_the_oldest_are_forgotten_when_there_are_too_many() -> None:
    log = a_log(events_max=3)
    live(log, *(a_change(n, a_status()) for n in range(5)))
    assert (log.first, log.next, log.forgotten[SOURCE]) == (2, 5, 2)


def test_the_oldest_are_forgotten_when_they_are_too_large() -> None:
    log = a_log(bytes_max=25_000)
    live(log, *(a_change(n, a_status(padding=10_000)) for n in range(5)))
    assert log.next - log.first == 2


def test_a_reader_that_is_behind_what_is_kept_is_lost() -> None:
    log = a_log(events_max=3)
    live(log)
    reader = a_reader(log)
    reader.from_now()
    log.heard(a_batch(*(a_change(n, a_status()) for n in range(3))))
    assert not reader.is_lost
    log.heard(a_batch(a_change(3, a_status())))
    assert reader.is_lost


def test_a_position_from_before_the_first_offset_that_was_there_is_too_old() -> None:
    """A bus that forgets its beginning, and an api that was not there to hear it."""
    log = a_log()
    live(log, a_change(0, a_status()))
    before = a_reader(log)
    before.from_start()
    [(id, _)] = before.take(10)
    later = a_log()
    later.heard(a_batch(a_change(9, a_status(status=UNHEALTHY)), is_history=True))
    later.heard(a_batch(a_change(9, a_status()), is_rebuilt=True))
    later.began_at(SOURCE, 7)
    assert "too old" in a_reader(later).resumed(id)


def test_a_partition_that_is_read_anew_begins_another_life_of_the_log() -> None:
    log, known = a_log(), a_status()
    live(log, a_change(0, known))
    reader = a_reader(log)
    reader.from_now()
    id = reader.id
    other = a_change(0, a_status("new"))
    log.heard(a_batch(other, log="two", is_history=True))
    assert not reader.is_outlived, "it is not served yet"
    log.heard(a_batch(other, Change(known.key, None), log="two", is_rebuilt=True))
    assert reader.is_outlived
    assert list(log.between(0, log.next)) == []
    assert "new log" in a_reader(log).resumed(id)
    log.heard(a_batch(a_change(1, a_status("new", UNHEALTHY)), log="two"))
    assert [event.node for event in log.between(0, log.next)] == ["new"]
