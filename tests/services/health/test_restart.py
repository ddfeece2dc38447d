"""Health ends, falls away, and comes again: what was true stays true, and nothing is made up."""

from __future__ import annotations

import asyncio
import signal

from schemas.errors import NotOwner
from schemas.ids import partition_of
from schemas.tables import OWNER_KEY, Owner
from schemas.topics import Topic
from services.chassis.clock import SYSTEM_CLOCK
from services.embedded.broker import EmbeddedBroker
from services.health.app import health
from tests.builders import an_id
from tests.services.health.projecting import Reader
from tests.services.health.scenes import Agents, Until, a_healthy_node, a_pair
from tests.services.health.world import (
    PARTITIONS,
    a_process,
    created,
    exited,
    following,
    healthy,
    wishes,
)


async def test_a_restart_publishes_nothing_and_goes_on(
    kafka: str, redis_url: str, agents: Agents, until: Until
) -> None:
    async with a_healthy_node(kafka, redis_url, agents, until) as scene:
        before = [(event.key, event.id) for event in scene.follower.events]
    async with healthy(kafka, redis_url) as service, following(kafka) as follower:
        passed = service.measures.probes.labels("PASSED")
        await until(lambda: passed._value.get() >= 5)
        assert [(event.key, event.id) for event in follower.events] == before
        scene.agent.signal(signal.SIGKILL)
        await until(lambda: follower.is_now(scene.node.key, "UNHEALTHY"))


async def test_what_happened_meanwhile_is_told_after_a_restart(
    kafka: str, redis_url: str, agents: Agents, until: Until
) -> None:
    async with a_healthy_node(kafka, redis_url, agents, until) as scene:
        pass
    async with wishes(kafka) as tell:
        tell.seq = 100
        await tell.put(exited(scene.fact))
    async with healthy(kafka, redis_url), following(kafka) as follower:
        await until(lambda: follower.is_now(scene.node.key, "UNHEALTHY"))

    assert follower.is_now(scene.fact.instance, "UNHEALTHY", "PROCESS_EXITED")


async def test_what_was_deleted_meanwhile_is_buried(
    kafka: str, redis_url: str, agents: Agents, until: Until
) -> None:
    async with a_healthy_node(kafka, redis_url, agents, until) as scene:
        pass
    async with wishes(kafka) as tell:
        tell.seq = 100
        await tell.delete(scene.fact, scene.node)
    async with healthy(kafka, redis_url) as service, following(kafka) as follower:
        reader = Reader(redis_url, partition_of(scene.node.place, PARTITIONS))
        await until(lambda: follower.buried == [scene.fact.instance, scene.node.key])
        for key in follower.buried:
            assert follower.was_told_that_it_leaves(key)
        await reader.equals(service.tables)
        assert not any((await reader.tables()).values())
        await reader.redis.close()


async def test_a_name_used_again_meanwhile_is_another_node(
    kafka: str, redis_url: str, agents: Agents, until: Until
) -> None:
    """The first one's end was missed; its last status is not the second one's past."""
    async with a_healthy_node(kafka, redis_url, agents, until) as scene:
        pass
    again = scene.node.model_copy(update={"uid": an_id(77), "created_at": SYSTEM_CLOCK.now()})
    async with wishes(kafka) as tell:
        tell.seq = 100
        await tell.delete(scene.fact, scene.node)
        await tell.put(again)
    async with healthy(kafka, redis_url), following(kafka) as follower:
        await until(lambda: again.uid in {event.uid for event in follower.of(again.key)})

    assert again.key in follower.buried
    assert [event.status.value for event in follower.of(again.key)][-2:] == ["DELETING", "CREATED"]


async def test_statuses_change_on_while_the_bus_is_away(
    broker: EmbeddedBroker, redis_url: str, agents: Agents, until: Until
) -> None:
    async with a_healthy_node(broker.address, redis_url, agents, until) as scene:
        broker.down()
        scene.agent.tell(phase="broken", reason="INTERPRETER_CRASHED")
        scene.agent.tell(phase="ready", reason="STATE_LOST")
        partition = scene.health.ownership.partitions[partition_of(scene.node.place, PARTITIONS)]
        await until(lambda: partition.outbox.pending >= 2)
        await asyncio.sleep(0.5)
        broker.up()
        instance = scene.fact.instance
        await until(lambda: scene.follower.is_now(instance, "HEALTHY", "STATE_LOST"), 20)
        await until(lambda: partition.outbox.is_empty)

        reasons = [step.reason.value for step in scene.follower.present[instance].transitions]
        assert reasons[-2:] == ["INTERPRETER_CRASHED", "STATE_LOST"]


async def test_redis_is_equal_to_the_topics_after_a_flush(
    kafka: str, redis_url: str, agents: Agents, until: Until
) -> None:
    async with a_healthy_node(kafka, redis_url, agents, until) as scene:
        tables = scene.health.tables
        readers = [Reader(redis_url, number) for number in range(PARTITIONS)]
        for flush in range(3):
            if flush:
                await readers[0].redis.command("FLUSHALL")
            for reader in readers:
                await reader.equals(tables)
                await reader.redis.close()


async def test_who_reads_a_larger_term_stops(kafka: str, redis_url: str, until: Until) -> None:
    process = a_process(kafka, redis_url)
    async with health(process) as service, wishes(kafka) as tell:
        await until(lambda: len(service.ownership.partitions) == PARTITIONS, 15)
        log = service.tables.position(Topic.STATUSES, 0).log
        mark = Owner(term=99, owner="successor", log=log, at=SYSTEM_CLOCK.now())
        body, key = mark.model_dump_json().encode(), OWNER_KEY.encode()
        await tell.producer.send_and_wait(Topic.STATUSES.value, body, key=key, partition=0)
        await asyncio.wait_for(process.until_stopped(), 1)

    assert isinstance(process.failure, NotOwner)


async def test_a_failed_contact_harms_no_other(
    kafka: str, redis_url: str, agents: Agents, until: Until
) -> None:
    """An endpoint that is nonsense is one instance's trouble."""
    async with a_healthy_node(kafka, redis_url, agents, until) as scene:
        other, fact = a_pair(2, start_timeout_seconds=0.3)
        await scene.tell.put(other, fact, created(fact, "gopher://nowhere"))
        await until(lambda: scene.follower.is_now(fact.instance, "UNHEALTHY", "START_TIMEOUT"))
        assert scene.follower.is_now(scene.fact.instance, "HEALTHY")


async def test_a_status_that_the_bus_has_lost_is_written_again(
    kafka: str, redis_url: str, agents: Agents, until: Until
) -> None:
    async with a_healthy_node(kafka, redis_url, agents, until) as scene:
        follower, instance = scene.follower, scene.fact.instance
        known = follower.present[instance]
        stray = scene.tell
        stray.term, stray.seq = known.term, known.seq
        await stray.delete(known)
        await until(lambda: instance not in follower.present)
        await until(lambda: follower.is_now(instance, "HEALTHY"))

        reader = Reader(redis_url, partition_of(scene.node.place, PARTITIONS))
        await until(lambda: instance in dict(scene.health.tables.items(Topic.STATUSES)))
        await reader.equals(scene.health.tables)
        await reader.redis.close()
