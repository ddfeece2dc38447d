"""Usage over HTTP: summed as is asked, priced by the operator's table, nothing silently free."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from schemas.events import InstanceUsage
from schemas.usage import HOUR, hour_of
from services.chassis.clock import SYSTEM_CLOCK
from tests.services.api.world import Reply, World, api, eventually
from tests.services.provisioner.scenes import Outside

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.full]

THIS_HOUR = hour_of(SYSTEM_CLOCK.now())
UID = "3fa9c1d2-0000-4000-8000-000000000001"


def a_record(node: str, n: int = 1, seconds: float = 3600.0, **changes: Any) -> InstanceUsage:
    known = {
        "id": SYSTEM_CLOCK.uuid(),
        "at": SYSTEM_CLOCK.now(),
        "node": node,
        "instance": f"{node}-3fa9c1-{n}",
        "uid": UID,
        "instance_type": "small",
        "hour": THIS_HOUR,
        "seconds": seconds,
    }
    return InstanceUsage.model_validate(known | changes)


async def told(world: World, *records: InstanceUsage) -> None:
    async with Outside(world.kafka) as outside:
        for one in records:
            await outside.send(one)


async def asked(world: World, query: str, project: str = "billed") -> Reply:
    begin = f"{THIS_HOUR - 2 * HOUR:%Y-%m-%dT%H:%M:%SZ}"
    path = f"/v1/usage?from={begin}&{query}"
    return await world.client.get(path, Cellnode_Project=project)


async def summed(world: World, query: str, seconds: float, **more: Any) -> dict[str, Any]:
    """The answer, once it sums up to so much."""
    deadline = SYSTEM_CLOCK.now() + timedelta(seconds=10)
    while True:
        reply = await asked(world, query, **more)
        if reply.status == 200 and reply.json["total"]["seconds"] == seconds:
            return dict(reply.json)
        assert SYSTEM_CLOCK.now() < deadline, reply.body
        await asyncio.sleep(0.02)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def billed(world: World) -> World:
    """Of project `billed`: 2 h of small, half an hour of medium, 100 s of a type without price."""
    more: dict[str, Any] = {"project": "billed"}
    await told(
        world,
        a_record("one", hour=THIS_HOUR - HOUR, **more),
        a_record("one", seconds=1800.0, is_open=True, **more),
        a_record("one", **more),
        a_record("one", seconds=1800.0, **more),
        a_record("two", seconds=1800.0, instance_type="medium", **more),
        a_record("two", 2, seconds=100.0, instance_type="huge", **more),
        a_record("other", project="elsewhere"),
    )
    await summed(world, "", 9100.0)
    return world


async def test_seconds_and_units_are_summed_by_node(billed: World) -> None:
    found = await summed(billed, "group_by=node", 9100.0)

    lines = [(one["node"], one["seconds"], one["units"]) for one in found["items"]]
    assert lines == [("one", 7200.0, 2.0), ("two", 1900.0, 1.5)]
    assert found["total"]["units"] == 3.5


async def test_a_type_without_a_price_is_named_and_not_free(billed: World) -> None:
    found = await summed(billed, "group_by=instance_type", 9100.0)

    huge = found["items"][0]
    assert (huge["instance_type"], huge["units"], huge["unpriced_seconds"]) == ("huge", 0.0, 100.0)
    assert found["total"]["unpriced_seconds"] == 100.0
    prices = {one["instance_type"]: one["units_per_hour"] for one in found["prices"]}
    assert prices == {"huge": None, "medium": 3.0, "small": 1.0}


async def test_lines_by_hour_and_by_instance(billed: World) -> None:
    by_hour = await summed(billed, "group_by=hour", 9100.0)
    assert [one["seconds"] for one in by_hour["items"]] == [3600.0, 5500.0]

    by_instance = await summed(billed, "group_by=instance&node=two", 1900.0)
    lines = [(one["instance"], one["node"], one["instance_type"]) for one in by_instance["items"]]
    assert lines == [("two-3fa9c1-1", "two", "medium"), ("two-3fa9c1-2", "two", "huge")]


async def test_a_page_ends_where_the_next_begins_and_sums_up_all(billed: World) -> None:
    first = await asked(billed, "limit=1")
    assert first.json["next"] == "one"
    assert 'rel="next"' in first.headers["Link"]
    rest = await asked(billed, "limit=1&after=one")

    assert [one["node"] for one in rest.json["items"]] == ["two"]
    assert rest.json["next"] is None
    assert rest.json["total"] == first.json["total"]


async def test_only_whole_hours_within_the_time_count(billed: World) -> None:
    found = await asked(billed, f"to={THIS_HOUR - timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}")

    assert found.json["total"]["seconds"] == 3600.0
    assert found.json["ends_at"] == f"{THIS_HOUR:%Y-%m-%dT%H:%M:%SZ}"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=2026-01-01&to=2025-01-01", "to"),
        ("from=2026-01-01&to=2026-03-01&group_by=hour", "from"),
        ("from=2024-01-01&to=2024-01-02&group_by=instance", "from"),
        ("from=yesterday", "from"),
        ("from=0.5", "from"),
        ("group_by=colour", "group_by"),
        ("node=NO", "node"),
    ],
)
async def test_what_cannot_be_told_is_refused_by_name(world: World, query: str, field: str) -> None:
    reply = await world.client.get(f"/v1/usage?{query}")

    assert (reply.status, reply.code, reply.json["field"]) == (422, "invalid-field", field)
    assert reply.json["remedy"]


async def test_an_api_that_starts_reads_all_of_it(billed: World) -> None:
    async with api(billed.kafka, billed.redis_url, billed.data) as other:
        await eventually(lambda: other.process.readiness.require("projection read").is_met)
        found = await summed(other, "", 9100.0)

    assert found["total"]["units"] == 3.5


async def test_an_instance_that_lived_is_on_the_bill(world: World) -> None:
    await world.made("spent")
    await world.gone("spent")
    deadline = SYSTEM_CLOCK.now() + timedelta(seconds=10)
    while not (found := (await asked(world, "node=spent", "default")).json["items"]):
        assert SYSTEM_CLOCK.now() < deadline
        await asyncio.sleep(0.02)

    assert 0 < found[0]["seconds"] < 60
