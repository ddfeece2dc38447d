"""Topics of Apache Kafka that are empty at the start of each test."""

from __future__ import annotations

import asyncio

import pytest

from tests.servers import ApacheKafka
from tests.servers.topics import fresh_topics
from tests.services.chassis.processes import PARTITIONS


@pytest.fixture
def kafka(apache_kafka: ApacheKafka) -> str:
    """The address of an Apache Kafka with every topic, and nothing on it."""
    asyncio.run(fresh_topics(apache_kafka.address, partitions=PARTITIONS))
    return apache_kafka.address
