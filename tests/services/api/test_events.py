"""Events as a client hears them: as they happen, resumed without loss or repeat, never too many."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from datetime import datetime, timedelta, timezone

import pytest

from schemas.topics import Topic
from services.health.app import Health
from tests.services.api.listening import history, listening
from tests.services.api.world import World

pytestmark = pytest.mark.asyncio(loop_scope="module")

HEARD_SECONDS_MAX = 2.0
BORN = ["UNDEFINED", "CREATED", "STARTED", "PREPARING", "HEALTHY"]


async def test_a_life_is_told_as_it_happens_and_ends_with_gone(world: World) -> None:
    async with listening(world.client, "/v1/nodes/told/events") as listener:
        node = await world.made("told")
        instance = node["instances"][0]["instance"]
        await world.gone("told")
        await listener.heard("told gone")
    told = [one.word for one in listener.events if one.data.get("instance") == instance]
    assert told == [f"{instance} {status}" for status in (*BORN, "DELETING", "gone")]
    node_events = [one for one in listener.events if "instance" not in one.data]
    # Outcomes are of another topic, so they may come before or after.
    accepted = [one for one in node_events if one.word == "told CommandAccepted"]
    statuses = [one for one in node_events if one not in accepted]
    assert len(accepted) == 2
    assert [one.word for one in (statuses[0], *statuses[-2:])] == [
        "told CREATED",
        "told DELETING",
        "told gone",
    ]
    leaving, gone = (datetime.fromisoformat(one.data["at"]) for one in statuses[-2:])
    assert leaving - timedelta(seconds=1) < gone < datetime.now(timezone.utc)
    assert len({one.id for one in listener.events}) == len(listener.events)
    assert not any({"term", "seq"} & one.data.keys() for one in listener.events)


async def test_a_status_is_heard_as_soon_as_it_is_written(world: World) -> None:
    """How soon is a benchmark's matter; here that nothing waits for a next event or a timer."""
    async with listening(world.client, "/v1/nodes/swift/events?kind=NodeStatusChanged") as one:
        await world.made("swift")
        event = await one.heard("swift HEALTHY")
    written = time.time() - _age_seconds(event.data["at"])
    heard = time.time() - (time.monotonic() - event.at)
    assert heard - written < HEARD_SECONDS_MAX


async def test_history_ends_of_itself_and_is_filtered(world: World) -> None:
    await world.made("past")
    everything = await history(world.client, "/v1/events?node=past")
    assert everything.words[0] == "past CommandAccepted" or "past CREATED" in everything.words
    statuses = await history(world.client, "/v1/events?node=past&kind=NodeStatusChanged")
    assert list(dict.fromkeys(statuses.words)) == ["past CREATED", "past HEALTHY"]
    assert (await history(world.client, "/v1/events?node=past&since=-10m")).words
    later = await history(world.client, "/v1/events?node=past&since=2100-01-01T00:00:00Z")
    other = await history(world.client, "/v1/events?node=past", Cellnode_Project="other")
    assert (later.words, other.words) == ([], [])


async def test_a_reader_that_was_away_goes_on_where_it_stopped(world: World) -> None:
    async with listening(world.client, "/v1/nodes/away/events") as before:
        await world.made("away")
        await before.heard("away HEALTHY")
    await world.gone("away")
    last = before.last_id
    async with listening(world.client, "/v1/nodes/away/events", Last_Event_ID=last) as after:
        await after.heard("away gone")
    whole = await history(world.client, "/v1/nodes/away/events")
    heard = [*before.events, *after.events]
    assert [one.data for one in heard] == [one.data for one in whole.events]
    assert [one.id for one in heard][-1] == whole.events[-1].id


@pytest.mark.parametrize("id", ["nonsense", "1.aaaaaaaa-0.bbbbbbbb-0", "1.-fffffff.-fffffff"])
async def test_a_position_of_another_log_gets_the_present_state(world: World, id: str) -> None:
    await world.made("present")
    reset = await history(world.client, f"/v1/nodes/present/events?last_event_id={id}")
    kinds = [one.kind for one in reset.events]
    assert kinds == ["reset", "NodeStatusChanged", "InstanceStatusChanged"]
    assert "present state" in reset.events[0].data["sentence"]
    assert [bool(one.id) for one in reset.events] == [False, False, True]
    path = f"/v1/nodes/present/events?last_event_id={reset.last_id}"
    assert (await history(world.client, path)).events == []


async def test_a_table_written_anew_is_no_event(world: World, health: Health) -> None:
    async with listening(world.client, "/v1/nodes/again/events") as listener:
        await world.made("again")
        await listener.heard("again HEALTHY")
        for partition in range(4):
            await health.owned.republish(Topic.STATUSES, partition)
        await world.gone("again")
        await listener.heard("again gone")
    ids = [one.data["id"] for one in listener.events if "id" in one.data]
    assert len(ids) == len(set(ids))


async def test_many_readers_hear_the_same(world: World) -> None:
    async with AsyncExitStack() as stack:
        opened = (listening(world.client, "/v1/nodes/crowd/events") for _ in range(20))
        readers = [await stack.enter_async_context(one) for one in opened]
        await world.made("crowd")
        for one in readers:
            await one.heard("crowd HEALTHY")
    assert len({tuple(one.words[:7]) for one in readers}) == 1


def _age_seconds(at: str) -> float:
    return (datetime.now(timezone.utc) - datetime.fromisoformat(at)).total_seconds()
