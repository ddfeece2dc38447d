"""Who writes outcomes and statuses in place of their services: stamped, marked, in order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer

from schemas.events import InstanceStatusChanged, NodeStatusChanged
from schemas.ids import partition_of
from schemas.messages import SEQ_HEADER, TERM_HEADER, TableRecord
from schemas.nodes import Node
from schemas.statuses import InstanceStatus, NodeStatus, Reason
from schemas.tables import OWNER_KEY, Owner
from schemas.topics import Topic
from services.chassis.clock import SYSTEM_CLOCK
from tests.builders import a_node
from tests.services.api.world import PARTITIONS

WRITTEN = (Topic.OUTCOMES, Topic.STATUSES)


class Teller:
    """The owner of all partitions of both topics."""

    def __init__(self, producer: Any, log: str) -> None:
        self._producer = producer
        self._log = log
        self.term, self._seq = 0, 0

    async def take_over(self) -> None:
        """Under the next term; the records that follow carry it."""
        self.term += 1
        for topic in WRITTEN:
            for partition in range(PARTITIONS):
                log = f"{self._log}{partition}"
                mark = Owner(term=self.term, owner="teller", log=log, at=SYSTEM_CLOCK.now())
                value = mark.model_dump_json().encode()
                await self._producer.send(
                    topic.value, value, key=OWNER_KEY.encode(), partition=partition
                )
        await self._producer.flush()

    async def put(self, record: TableRecord) -> None:
        """The record as it is, newly stamped: the same again is a republication."""
        self._seq += 1
        stamped = record.model_copy(update={"term": self.term, "seq": self._seq})
        await self._send(record, stamped.model_dump_json(by_alias=True).encode())

    async def bury(self, record: TableRecord) -> None:
        self._seq += 1
        await self._send(record, None)

    async def _send(self, record: TableRecord, value: bytes | None) -> None:
        order = {TERM_HEADER: self.term, SEQ_HEADER: self._seq}
        await self._producer.send_and_wait(
            record.topic.value,
            value,
            key=record.key.encode(),
            partition=partition_of(record.place, PARTITIONS),
            headers=[(name, str(number).encode()) for name, number in order.items()],
        )


@asynccontextmanager
async def telling(kafka: str, log: str = "log") -> AsyncIterator[Teller]:
    async with AIOKafkaProducer(bootstrap_servers=kafka, acks="all") as producer:
        teller = Teller(producer, log)
        await teller.take_over()
        yield teller


def a_status(
    name: str = "digits", status: NodeStatus = NodeStatus.HEALTHY, padding: int = 0
) -> NodeStatusChanged:
    """A new event, with as many bytes more as are asked for."""
    told: dict[str, Any] = {"min": 1, "want": 1, "healthy": 1, "healthy_of_revision": 1}
    reason = Reason.ENOUGH_HEALTHY
    common = _common(a_node(name), reason, padding)
    return NodeStatusChanged(**common, **told, status=status)


def an_instance_status(name: str = "digits", n: int = 1) -> InstanceStatusChanged:
    node = a_node(name)
    return InstanceStatusChanged(
        **_common(node, Reason.READY, 0),
        instance=node.instance_id(n),
        status=InstanceStatus.HEALTHY,
    )


def _common(node: Node, reason: Reason, padding: int) -> dict[str, Any]:
    now = SYSTEM_CLOCK.now()
    return {
        "id": SYSTEM_CLOCK.uuid(),
        "project": node.project,
        "node": node.node,
        "at": now,
        "since": now,
        "uid": node.uid,
        "generation": node.generation,
        "revision": node.revision,
        "reason": reason,
        "sentence": "x" * padding,
    }
