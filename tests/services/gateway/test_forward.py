"""The resend rule, case by case: executed twice only where it is allowed, answered once always."""

from __future__ import annotations

import asyncio

import pytest

from tests.services.gateway.agents import Agent, breaks_off, echoes, hangs_up, refuses, says, sleeps
from tests.services.gateway.world import Behaviour, World

KEY = {"Idempotency_Key": "k-1"}


async def unreachable(agent: Agent, asked: object) -> bytes:
    raise AssertionError("its socket is gone")


# What the first instance does, whether the node is idempotent, whether a key came: the status,
# and how often the call was executed.
TABLE: list[tuple[Behaviour, bool, bool, int, int]] = [
    (refuses, False, False, 200, 1),
    (refuses, True, True, 200, 1),
    (unreachable, False, False, 200, 1),
    (unreachable, True, False, 200, 1),
    (hangs_up, False, False, 502, 1),
    (hangs_up, True, False, 200, 2),
    (hangs_up, False, True, 200, 2),
    (breaks_off, False, False, 502, 1),
    (breaks_off, True, False, 502, 1),
    (breaks_off, False, True, 502, 1),
]


@pytest.mark.parametrize(("behave", "idempotent", "keyed", "status", "executions"), TABLE)
async def test_a_call_is_sent_again_exactly_when_the_rule_allows_it(
    world: World, behave: Behaviour, idempotent: bool, keyed: bool, status: int, executions: int
) -> None:
    first, second = await world.agents("digits", behave, echoes, idempotent=idempotent)
    if behave is unreachable:
        await first.vanish()
    await _until_first_is_asked(world, first)
    reply = await world.call("digits", b"nonce", **(KEY if keyed else {}))
    assert reply.status == status
    assert len(first.executed) + len(second.executed) == executions


async def _until_first_is_asked(world: World, first: Agent) -> None:
    """The next pick falls on the first instance: the other one seems to be busy for ever."""
    node = world.site._copy.nodes["default/digits"]
    for endpoint in node.endpoints:
        if endpoint.instance != first.instance:
            endpoint.in_flight = 1
            asyncio.get_running_loop().call_later(0.1, endpoint.served, 1.0)
            asyncio.get_running_loop().call_later(0.1, setattr, endpoint, "in_flight", 0)


async def test_an_instance_that_is_another_by_now_gives_no_answer_to_the_client(
    world: World,
) -> None:
    other = (
        b"HTTP/1.1 200 OK\r\nCellnode-Instance: other-000000-1\r\nContent-Length: 6\r\n\r\nsecret"
    )
    await world.agents("digits", says(other))
    reply = await world.call("digits")
    assert (reply.status, reply.code) == (502, "instance-lost")
    assert b"secret" not in reply.body


async def test_a_wrong_instance_that_proves_it_did_nothing_is_passed_by(world: World) -> None:
    proof = (
        b"HTTP/1.1 421 Misdirected Request\r\nCellnode-Instance: other-000000-1\r\n"
        b"Cellnode-Not-Executed: true\r\nContent-Length: 2\r\n\r\n{}"
    )
    await world.agents("digits", says(proof), echoes)
    replies = [await world.call("digits") for _ in range(5)]
    assert {reply.status for reply in replies} == {200}


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nCellnode-Instance: {instance}\r\n\r\nno length",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\n\r\n" * 20,
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1_000_000,
        b"garbage\r\n\r\n",
    ],
)
async def test_an_answer_that_breaks_the_contract_is_a_502(world: World, raw: bytes) -> None:
    await world.agents("digits", says(raw))
    reply = await world.call("digits")
    assert (reply.status, reply.code) == (502, "instance-lost")
    assert world.gauges["in_flight"] == 0


async def test_bytes_behind_an_answer_never_become_the_next_answer(world: World) -> None:
    stray = b"HTTP/1.1 200 OK\r\nCellnode-Instance: {instance}\r\nContent-Length: 5\r\n\r\n"
    await world.agents("digits", says(stray + b"first" + stray + b"stray"), idempotent=True)
    replies = [await world.call("digits") for _ in range(10)]
    assert {(reply.status, reply.body) for reply in replies} == {(200, b"first")}


async def test_an_instance_that_does_not_listen_is_avoided_for_a_while(world: World) -> None:
    first, second = await world.agents("digits", echoes, echoes)
    await first.vanish()
    replies = [await world.call("digits") for _ in range(50)]
    assert {reply.status for reply in replies} == {200}
    assert len(second.executed) == 50
    assert world.site._measures.upstream_failures <= 3


async def test_the_last_instance_is_asked_even_if_it_failed_just_now(world: World) -> None:
    (agent,) = await world.agents("digits", hangs_up)
    assert (await world.call("digits")).status == 502
    agent.behave = echoes
    assert (await world.call("digits")).status == 200


async def test_calls_beyond_the_queue_are_refused_at_once_and_the_others_served(
    world: World,
) -> None:
    await world.agents("digits", sleeps(0.05), queue_max=3)
    replies = await asyncio.gather(*(world.call("digits", b"%d" % n) for n in range(10)))
    refused = [reply for reply in replies if reply.status == 503]
    assert len(refused) == 6  # One runs, three wait.
    assert {reply.code for reply in refused} == {"queue-full"}
    assert all(reply.headers["retry-after"] == "1" for reply in refused)
    assert world.gauges["queued"] == 0


async def test_slow_cells_get_one_call_at_a_time_and_calls_wait_where_they_can_move(
    world: World,
) -> None:
    first, second = await world.agents("digits", sleeps(0.03), sleeps(0.03))
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, first.running, second.running)
            await asyncio.sleep(0.001)

    watching = asyncio.ensure_future(watch())
    replies = await asyncio.gather(*(world.call("digits", b"%d" % n) for n in range(12)))
    watching.cancel()
    assert [reply.body for reply in replies] == [b"%d" % n for n in range(12)]
    assert most == 1
    assert abs(len(first.executed) - len(second.executed)) <= 2


async def test_a_node_whose_instances_all_refuse_is_asked_a_bounded_number_of_times(
    world: World,
) -> None:
    agents = await world.agents("digits", refuses, refuses)
    reply = await world.call("digits")
    assert (reply.status, reply.code) == (503, "queue-full")
    assert sum(len(agent.asked) for agent in agents) == 8


async def test_an_outage_does_not_multiply_the_load(world: World) -> None:
    agents = await world.agents("digits", hangs_up, hangs_up, idempotent=True)
    calls = 600
    for _ in range(calls // 50):
        replies = await asyncio.gather(*(world.call("digits") for _ in range(50)))
        assert {reply.status for reply in replies} == {502}
    attempts = sum(len(agent.asked) for agent in agents)
    assert attempts <= calls * 1.2 + 100 + 3
