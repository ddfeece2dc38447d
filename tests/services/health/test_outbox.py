"""Status events go out in order, and a failure never leaves an older one last."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import BusUnavailable, NotOwner
from schemas.statuses import InstanceStatus
from services.chassis.clock import SYSTEM_CLOCK
from services.health.outbox import PENDING_MAX, Event, Gone, Outbox, Outgoing, last_of_each_key
from tests.builders import a_node
from tests.services.health.test_nodes import an_event

Until = Callable[..., Awaitable[None]]
NODE = a_node()
S = InstanceStatus


class Log:
    """Keeps what it acknowledged, the last of a key like a compacted topic; may refuse first."""

    def __init__(self, *refusals: Exception | None) -> None:
        self.refusals = list(refusals)
        self.taken: list[tuple[str, str]] = []
        self.present: dict[str, str] = {}

    async def put(self, event: Event) -> None:
        self._take(event.key, event.status.value)

    async def bury(self, key: str, place: str) -> None:
        self._take(key, "gone")

    def _take(self, key: str, status: str) -> None:
        refusal = self.refusals.pop(0) if self.refusals else None
        if refusal is not None:
            raise refusal
        self.taken.append((key, status))
        self.present[key] = status


def step(n: int, status: InstanceStatus) -> Event:
    return an_event(NODE, n, status)


def nothing() -> None:
    return None


async def sent(log: Log, outgoing: list[Outgoing], until: Until) -> None:
    outbox = Outbox(log, nothing, SYSTEM_CLOCK)
    for one in outgoing:
        outbox.add(one)
    task = asyncio.create_task(outbox.run())
    await until(lambda: outbox.is_empty)
    task.cancel()


async def test_events_go_out_in_order(until: Until) -> None:
    log, key = Log(), NODE.instance_id(1)
    await sent(log, [step(1, status) for status in (S.CREATED, S.STARTED, S.HEALTHY)], until)

    assert log.taken == [(key, "CREATED"), (key, "STARTED"), (key, "HEALTHY")]


async def test_after_a_failure_the_last_of_a_key_is_the_last_on_the_bus(until: Until) -> None:
    """The second was taken, the first was not: sending only the first again would undo it."""
    log, key = Log(BusUnavailable("away"), None, None), NODE.instance_id(1)
    events: list[Outgoing] = [step(1, S.CREATED), step(1, S.STARTED), step(2, S.CREATED)]
    await sent(log, events, until)

    assert log.present == {key: "STARTED", NODE.instance_id(2): "CREATED"}
    assert log.taken[-2:] == [(key, "STARTED"), (NODE.instance_id(2), "CREATED")]


async def test_a_tombstone_after_an_event_stays_last(until: Until) -> None:
    log, key = Log(BusUnavailable("away")), NODE.instance_id(1)
    await sent(log, [step(1, S.DELETING), Gone(key, NODE.place)], until)

    assert log.present == {key: "gone"}


@pytest.mark.parametrize("refused", [(0,), (1,), (0, 1), (0, 2)])
async def test_a_tombstone_follows_its_deleting_whatever_fails(
    refused: tuple[int, ...], until: Until
) -> None:
    """Told twice, as when nobody has read the first tombstone yet."""
    away = [BusUnavailable("away") if n in refused else None for n in range(3)]
    log, key = Log(*away), NODE.instance_id(1)
    end = Gone(key, NODE.place)
    await sent(log, [step(1, S.HEALTHY), step(1, S.DELETING), end, end], until)

    said = [status for _, status in log.taken]
    ends = said.index("gone")
    assert said[ends - 1] == "DELETING"
    assert set(said[ends:]) == {"gone"}


def test_an_end_is_kept_before_what_begins_anew() -> None:
    ended: list[Outgoing] = [step(1, S.DELETING), Gone(NODE.instance_id(1), NODE.place)]
    anew: list[Outgoing] = [step(1, S.UNDEFINED), step(1, S.CREATED)]

    assert last_of_each_key([step(1, S.HEALTHY), *ended, *anew]) == [*ended, anew[-1]]
    assert last_of_each_key([*ended, *anew, *ended]) == ended


async def test_a_lost_partition_ends_it(until: Until) -> None:
    outbox = Outbox(Log(NotOwner("taken over")), nothing, SYSTEM_CLOCK)
    outbox.add(step(1, S.CREATED))

    with pytest.raises(NotOwner):
        await asyncio.wait_for(outbox.run(), 1)


async def test_what_is_computed_at_the_last_moment_goes_along(until: Until) -> None:
    log, late = Log(), [step(2, S.HEALTHY)]

    def before_sending() -> None:
        while late:
            outbox.add(late.pop())

    outbox = Outbox(log, before_sending, SYSTEM_CLOCK)
    outbox.wake()
    task = asyncio.create_task(outbox.run())
    await until(lambda: outbox.is_empty)
    task.cancel()

    assert log.present == {NODE.instance_id(2): "HEALTHY"}


def test_while_the_bus_is_away_the_outbox_stays_bounded() -> None:
    outbox = Outbox(Log(), nothing, SYSTEM_CLOCK)
    events = [step(n, status) for n in range(1, 4) for status in (S.CREATED, S.STARTED)]
    for n in range(PENDING_MAX + 10):
        outbox.add(events[n % len(events)])

    assert outbox.pending < PENDING_MAX


def test_many_keys_are_not_walked_again_for_each_event(monkeypatch: pytest.MonkeyPatch) -> None:
    walked = 0

    def counted(outgoing: list[Outgoing]) -> list[Outgoing]:
        nonlocal walked
        walked += len(outgoing)
        return last_of_each_key(outgoing)

    monkeypatch.setattr("services.health.outbox.last_of_each_key", counted)
    one = Outbox(Log(), nothing, SYSTEM_CLOCK)
    for n in range(2 * PENDING_MAX):
        one.add(Gone(f"digits-3fa9c1-{n}", NODE.place))

    assert one.pending == 2 * PENDING_MAX
    assert walked < 4 * PENDING_MAX


@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from(S))))
def test_the_last_of_each_key_says_all(told: list[tuple[int, InstanceStatus]]) -> None:
    events: list[Outgoing] = [step(n, status) for n, status in told]
    kept = last_of_each_key(events)

    assert {one.key: one for one in kept} == {one.key: one for one in events}
    assert len({one.key for one in kept}) == len(kept)
    places = [next(n for n, one in enumerate(events) if one is this) for this in kept]
    assert places == sorted(places)
