"""The topics of cellnode on Apache Kafka, made anew for a test and known before it begins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from schemas.topics import DECLARATIONS

TOPICS_SECONDS_MAX = 30.0
PAUSE_SECONDS = 0.02
UNKNOWN_TOPIC = 3

Configs = Mapping[str, Mapping[str, str]]

DECLARED: Configs = {topic.value: declared.config() for topic, declared in DECLARATIONS.items()}


async def make_topics(address: str, configs: Configs = DECLARED, *, partitions: int = 4) -> None:
    """Return once each of them has a leader in each partition."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        await asyncio.wait_for(_made(admin, configs, partitions), TOPICS_SECONDS_MAX)
    finally:
        await admin.close()


async def remove_topics(address: str) -> None:
    """Return once no topic of cellnode is left; offsets that groups had committed go with them."""
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        await asyncio.wait_for(_removed(admin), TOPICS_SECONDS_MAX)
    finally:
        await admin.close()


async def fresh_topics(address: str, configs: Configs = DECLARED, *, partitions: int = 4) -> None:
    """The topics, empty, whatever was there before."""
    await remove_topics(address)
    await make_topics(address, configs, partitions=partitions)


async def _made(admin: Any, configs: Configs, partitions: int) -> None:
    wanted = [
        NewTopic(name, partitions, 1, topic_configs=dict(config))
        for name, config in configs.items()
    ]
    answer = await admin.create_topics(wanted)
    failed = [error for error in answer.topic_errors if error[1] != 0]
    assert not failed, f"topics cannot be made: {failed}"
    while True:
        if all(_is_led(told, partitions) for told in await admin.describe_topics([*configs])):
            return
        await asyncio.sleep(PAUSE_SECONDS)


async def _removed(admin: Any) -> None:
    begun = time.monotonic()
    while left := [name for name in await admin.list_topics() if name.startswith("cellnode.")]:
        answer = await admin.delete_topics(left)
        failed = [one for one in answer.topic_error_codes if one[1] not in (0, UNKNOWN_TOPIC)]
        assert not failed or time.monotonic() - begun < TOPICS_SECONDS_MAX, failed
        await asyncio.sleep(PAUSE_SECONDS)


def _is_led(told: Mapping[str, Any], partitions: int) -> bool:
    leaders = [one["leader"] for one in told["partitions"]]
    return len(leaders) == partitions and all(leader >= 0 for leader in leaders)
