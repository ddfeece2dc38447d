"""Topics made with their declared configuration; what differs from it is reported."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from schemas.errors import BusUnavailable, Error
from schemas.topics import DECLARATIONS, TopicDeclaration
from services.chassis.bus_security import client_options, refusal, why_not
from services.chassis.settings import Settings
from services.chassis.telemetry import logger

TIMEOUT_SECONDS = 30.0
REPLICAS_MAX = 3  # As many as there are brokers, up to this; aiokafka cannot ask for a default.
_CREATED, _EXISTS, _MISSING = 0, 36, 3
_FORBIDDEN = (29, 31)  # Of this topic, of the cluster.
_ACLS = "see deploy/kafka/acls.txt"

log = logger("chassis.bus")


class TopicsDiffer(Error):
    """A topic has another number of partitions than everybody reckons with."""


async def make_topics(settings: Settings) -> None:
    """Make what is missing; BusUnavailable if Kafka does not do so in time."""
    admin = AIOKafkaAdminClient(**client_options(settings))
    try:
        await asyncio.wait_for(_made(admin, settings), TIMEOUT_SECONDS)
    except (KafkaError, asyncio.TimeoutError) as error:
        why = refusal(error) or await why_not(settings) or repr(error)
        raise BusUnavailable(f"topics cannot be made: {why}") from error
    finally:
        await admin.close()


async def _made(admin: Any, settings: Settings) -> None:
    await admin.start()
    declared = list(DECLARATIONS.values())
    cluster = await admin.describe_cluster()
    if cluster["controller_id"] not in {broker["node_id"] for broker in cluster["brokers"]}:
        remedy = "wait, or set CELLNODE_CREATE_TOPICS=false on the embedded broker"
        raise BusUnavailable(f"topics cannot be made: there is no controller; {remedy}")
    replicas = min(REPLICAS_MAX, len(cluster["brokers"]))
    answer = await admin.create_topics([_new(one, settings, replicas) for one in declared])
    for name, code, *rest in answer.topic_errors:
        if code not in (_CREATED, _EXISTS, *_FORBIDDEN):
            raise BusUnavailable(f"the topic {name} cannot be made: error {code} {rest}")
    await _check_partitions(admin, settings)  # Who may not make them finds them made.
    await _report_drift(admin, declared)


def _new(declared: TopicDeclaration, settings: Settings, replicas: int) -> NewTopic:
    return NewTopic(
        declared.topic.value,
        settings.cellnode_partitions,
        replicas,
        topic_configs=declared.config(),
    )


async def _check_partitions(admin: Any, settings: Settings) -> None:
    names = [topic.value for topic in DECLARATIONS]
    for told in await admin.describe_topics(names):
        found = len(told["partitions"])
        if told["error_code"] in _FORBIDDEN:
            raise BusUnavailable(f"Kafka's ACLs do not let us see {told['topic']}: {_ACLS}")
        if told["error_code"] == _MISSING:
            raise BusUnavailable(f"{told['topic']} is not there yet; who may make it: {_ACLS}")
        if found == 0:
            raise BusUnavailable(f"{told['topic']} is made, but not known everywhere yet")
        if found != settings.cellnode_partitions:
            raise TopicsDiffer(
                f"{told['topic']} has {found} partitions, CELLNODE_PARTITIONS says "
                f"{settings.cellnode_partitions}; set it to {found}"
            )


async def _report_drift(admin: Any, declared: Iterable[TopicDeclaration]) -> None:
    wanted = {one.topic.value: one.config() for one in declared}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in wanted]
    answers = await admin.describe_configs(resources)
    told = [one for answer in answers for one in answer.resources]
    for code, _, _, name, entries in told:
        if code in _FORBIDDEN:
            continue  # Who may make topics looks.
        found = {entry[0]: entry[1] for entry in entries}
        for option, value in drift(wanted[name], found).items():
            facts = {"topic": name, "option": option, "found": found.get(option)}
            log.warning("topic differs from its declaration", wanted=value, **facts)


def drift(wanted: Mapping[str, str], found: Mapping[str, str | None]) -> dict[str, str]:
    """The wanted options that are set otherwise."""
    return {option: value for option, value in wanted.items() if found.get(option) != value}
