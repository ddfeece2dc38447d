"""Nodes over HTTP on a real bus with real instances: applied, read, changed, waited for, gone."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from tests.services.api.world import Reply, World

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_an_applied_node_is_healthy_and_every_reader_sees_it(world: World) -> None:
    reply = await world.apply("digits", "?wait=HEALTHY&timeout_seconds=30")
    assert reply.status == 200
    shown = await world.client.get("/v1/nodes/digits")
    assert shown.json["status"]["status"] == "HEALTHY"
    assert shown.json["status"]["healthy_of_revision"] == 1
    assert [one["status"] for one in shown.json["instances"]] == ["HEALTHY"]
    assert shown.json["uid"] == reply.json["uid"]
    assert shown.headers["ETag"] == reply.headers["ETag"] == '"1"'
    assert shown.json["execute_path"] == "/v1/nodes/digits:execute"
    assert shown.json["cost"] == {
        "instance_type": "small",
        "units_per_hour_each": 1.0,
        "units_per_hour": 1.0,
    }


async def test_without_wait_the_command_is_told_and_its_outcome_follows(world: World) -> None:
    reply = await world.apply("later")
    assert reply.status == 202
    assert reply.json["outcome"] == "pending"
    path = reply.headers["Location"]
    assert path == f"/v1/commands/{reply.json['id']}"
    told = await until_decided(world, path)
    assert (told["outcome"], told["generation"], told["changed"]) == ("accepted", 1, True)


async def test_accepted_means_that_the_node_can_be_read(world: World) -> None:
    reply = await world.apply("accepted", "?wait=ACCEPTED")
    assert reply.status == 200
    shown = await world.client.get("/v1/nodes/accepted")
    assert shown.json["generation"] == reply.json["generation"] == 1


async def test_applying_what_is_already_so_changes_nothing(world: World) -> None:
    made = await world.made("same")
    again = await world.apply("same", "?wait=HEALTHY")
    assert (again.status, again.json["generation"], again.json["uid"]) == (200, 1, made["uid"])


async def test_a_new_cell_is_healthy_only_with_instances_of_its_own(world: World) -> None:
    await world.made("rolling")
    reply = await world.apply("rolling", "?wait=HEALTHY&timeout_seconds=30", cell="y = x + factor")
    status = reply.json["status"]
    assert (reply.json["generation"], status["generation"]) == (2, 2)
    new = [one for one in reply.json["instances"] if one["revision"] == reply.json["revision"]]
    assert [one["status"] for one in new] == ["HEALTHY"]


async def test_scaling_is_seen_when_it_is_waited_for(world: World) -> None:
    await world.made("scaled")
    body = {"want": 2, "min": 2}
    reply = await post(world, "scaled:scale?wait=HEALTHY&timeout_seconds=30", body)
    assert (reply.status, reply.json["status"]["healthy_of_revision"]) == (200, 2)
    assert reply.json["cost"]["units_per_hour"] == 2.0


async def test_a_node_is_suspended_and_resumed(world: World) -> None:
    await world.made("resting")
    asleep = await post(world, "resting:suspend?wait=SUSPENDED")
    assert asleep.json["status"]["status"] == "SUSPENDED"
    assert asleep.json["cost"]["units_per_hour"] == 0
    awake = await post(world, "resting:resume?wait=HEALTHY&timeout_seconds=30")
    assert (awake.json["status"]["status"], awake.json["generation"]) == ("HEALTHY", 3)


async def test_a_recreated_node_has_other_instances(world: World) -> None:
    before = await world.made("anew")
    reply = await post(world, "anew:recreate?wait=HEALTHY&timeout_seconds=30")
    assert reply.status == 200
    assert reply.json["revision"] != before["revision"]
    new = [one for one in reply.json["instances"] if one["revision"] == reply.json["revision"]]
    assert [one["status"] for one in new] == ["HEALTHY"]


async def test_a_node_that_is_gone_is_not_found_and_not_listed(world: World) -> None:
    await world.made("leaving")
    reply = await world.client.ask("DELETE", "/v1/nodes/leaving?wait=GONE&timeout_seconds=30")
    assert (reply.status, reply.json["outcome"]) == (200, "accepted")
    assert (await world.client.get("/v1/nodes/leaving")).code == "node-unknown"
    listed = await world.client.get("/v1/nodes?limit=1000")
    assert "leaving" not in [one["node"] for one in listed.json["nodes"]]


async def test_gone_is_not_said_of_a_node_that_is_too_new_to_be_seen(world: World) -> None:
    """A delete right behind a deploy: the projection may not show the node yet."""
    for turn in range(3):
        await world.apply("brief")
        path = "/v1/nodes/brief?wait=GONE&timeout_seconds=30"
        assert (await world.client.ask("DELETE", path)).status == 200
        assert (await world.client.get("/v1/nodes/brief")).status == 404, turn
        await asyncio.sleep(0.05)
        assert (await world.client.get("/v1/nodes/brief")).status == 404, turn


async def test_a_checkpoint_may_be_named_by_its_pin(world: World) -> None:
    pinned = {"digest": world.checkpoint}
    assert (await world.client.ask("PUT", "/v1/pins/scene", pinned)).status in (200, 201)
    reply = await world.apply("pinned", "?wait=ACCEPTED", checkpoint="scene")
    assert reply.json["spec"]["checkpoint"] == world.checkpoint
    assert (await world.apply("pinned", checkpoint="nobody")).code == "pin-unknown"
    assert (await world.apply("pinned", checkpoint="0" * 64)).code == "checkpoint-unknown"


async def test_who_asked_is_on_record(world: World) -> None:
    body = world.spec()
    path = "/v1/nodes/asked?wait=ACCEPTED"
    reply = await world.client.ask("PUT", path, body, Cellnode_Actor="ada@example.org")
    assert reply.json["actor"] == "ada@example.org"


async def test_projects_see_only_their_own(world: World) -> None:
    digest = world.spec()
    reply = await world.client.ask(
        "PUT", "/v1/nodes/inner?wait=ACCEPTED", digest, Cellnode_Project="other"
    )
    assert (reply.status, reply.json["project"]) == (200, "other")
    id = (await world.client.get("/v1/commands", Cellnode_Project="other")).json["commands"][0][
        "id"
    ]
    assert (await world.client.get("/v1/nodes/inner")).code == "node-unknown"
    assert (await world.client.get(f"/v1/commands/{id}")).code == "command-unknown"
    listed = await world.client.get("/v1/nodes", Cellnode_Project="other")
    assert [one["node"] for one in listed.json["nodes"]] == ["inner"]


async def test_commands_are_listed_newest_first_in_pages(world: World) -> None:
    for want in (2, 3, 4):
        await world.apply("many", "?wait=ACCEPTED", instances={"want": want, "min": 1})
    first = (await world.client.get("/v1/commands?node=many&limit=2")).json
    rest = (await world.client.get(f"/v1/commands?node=many&after={quoted(first['next'])}")).json
    generations = [one["generation"] for one in (*first["commands"], *rest["commands"])]
    assert (generations, rest["next"]) == ([3, 2, 1], None)


async def until_decided(world: World, path: str) -> dict[str, Any]:
    for _ in range(500):
        told: Reply = await world.client.get(path)
        assert UUID(told.json["id"])
        if told.json["outcome"] != "pending":
            return dict(told.json)
        await asyncio.sleep(0.01)
    raise AssertionError("no outcome")


async def post(world: World, path: str, body: Any = None, **headers: str) -> Reply:
    return await world.client.ask("POST", f"/v1/nodes/{path}", body, **headers)


def quoted(text: str) -> str:
    return text.replace("+", "%2B")


@pytest.mark.full
async def test_a_name_is_waited_for_as_soon_as_it_is_free(world: World) -> None:
    """The projection may still show the node that has left, or nothing but its last status."""
    for turn in range(12):
        await world.apply("reborn", "?wait=ACCEPTED")
        await world.client.ask("DELETE", "/v1/nodes/reborn?wait=ACCEPTED")
        reply = await as_soon_as_free(world, "reborn")
        assert reply.status == 200, (turn, reply.body)
        assert reply.json["status"]["status"] == "HEALTHY"
        await world.gone("reborn")


async def as_soon_as_free(world: World, node: str) -> Reply:
    for _ in range(5_000):
        reply = await world.apply(node, "?wait=HEALTHY")
        if reply.code != "name-busy":
            return reply
        await asyncio.sleep(0.001)
    raise AssertionError(f"{node} does not get free")
