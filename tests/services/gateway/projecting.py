"""Writes the projection as health does: tables, head and feed of each partition, in one step."""

from __future__ import annotations

import time
from typing import Any

from redis import Redis

from schemas.events import InstanceStatusChanged, NodeStatusChanged
from schemas.ids import partition_of
from schemas.nodes import Node
from schemas.projection import Change, ProjectedTable, feed_key, head_key, table_key
from schemas.statuses import InstanceStatus, NodeStatus, Reason
from tests.builders import NOON, a_node, an_id

HEALTHY = InstanceStatus.HEALTHY


class Projecting:
    """One writer for all partitions."""

    def __init__(self, redis: Redis, partitions: int = 4, incarnation: str = "first") -> None:
        self.redis = redis
        self.partitions = partitions
        self.incarnation = incarnation
        self.kept: dict[tuple[ProjectedTable, str], tuple[int, bytes]] = {}
        self.versions = dict.fromkeys(range(partitions), 0)

    def publish_empty(self) -> None:
        """A partition without nodes is published too."""
        for partition in range(self.partitions):
            self._write_head(partition)

    def rebuild(self, incarnation: str) -> None:
        """Everything again, under a new incarnation, the head last."""
        self.incarnation = incarnation
        self.versions = dict.fromkeys(range(self.partitions), 0)
        for (table, key), (partition, value) in self.kept.items():
            self.redis.hset(table_key(partition, incarnation, table), key, value)
        for partition in range(self.partitions):
            self._write_head(partition)

    def heartbeat(self) -> None:
        for partition in range(self.partitions):
            self.redis.hset(head_key(partition), "at", _now_ms())

    def put(self, place: str, change: Change) -> None:
        """One change in its table, head and feed."""
        partition = partition_of(place, self.partitions)
        self._remember(partition, change)
        self.versions[partition] += 1
        table = table_key(partition, self.incarnation, change.table)
        with self.redis.pipeline(transaction=True) as step:
            if change.value:
                step.hset(table, change.key, change.value)
            else:
                step.hdel(table, change.key)
            fields: dict[Any, Any] = {
                "table": change.table.value,
                "key": change.key,
                "value": change.value,
            }
            feed = feed_key(partition, self.incarnation)
            step.xadd(feed, fields, id=f"{self.versions[partition]}-0")
            step.hset(head_key(partition), mapping=self._head(partition))
            step.execute()

    def put_node(self, node: Node) -> None:
        self.put(node.place, Change(ProjectedTable.NODES, node.place, _json(node)))

    def put_node_status(self, node: Node, status: NodeStatus) -> None:
        record = NodeStatusChanged(
            **_common(node), status=status, min=1, want=1, healthy=1, healthy_of_revision=1
        )
        self.put(node.place, Change(ProjectedTable.NODE_STATUSES, node.place, _json(record)))

    def put_instance(
        self, node: Node, n: int, endpoint: str, status: InstanceStatus = HEALTHY
    ) -> str:
        """Tells the instance's id."""
        instance = node.instance_id(n)
        record = InstanceStatusChanged(
            **_common(node), instance=instance, status=status, endpoint=endpoint
        )
        self.put(node.place, Change(ProjectedTable.INSTANCE_STATUSES, instance, _json(record)))
        return instance

    def bury_instance(self, node: Node, n: int) -> None:
        self.put(node.place, Change(ProjectedTable.INSTANCE_STATUSES, node.instance_id(n), b""))

    def bury_node(self, node: Node) -> None:
        self.put(node.place, Change(ProjectedTable.NODES, node.place, b""))
        self.put(node.place, Change(ProjectedTable.NODE_STATUSES, node.place, b""))

    def serve(self, name: str, endpoints: list[str], **spec: object) -> Node:
        """A node whose instances 1, 2, … are HEALTHY at these endpoints."""
        node = a_node(name, **spec)
        self.put_node(node)
        for n, endpoint in enumerate(endpoints, start=1):
            self.put_instance(node, n, endpoint)
        return node

    def _remember(self, partition: int, change: Change) -> None:
        where = (change.table, change.key)
        if change.value:
            self.kept[where] = (partition, change.value)
        else:
            self.kept.pop(where, None)

    def _write_head(self, partition: int) -> None:
        self.redis.hset(head_key(partition), mapping=self._head(partition))

    def _head(self, partition: int) -> dict[Any, Any]:
        version = self.versions[partition]
        return {
            "incarnation": self.incarnation,
            "position": f'{{"cellnode.statuses":["log",{version}]}}',
            "version": version,
            "at": _now_ms(),
        }


def _common(node: Node) -> dict[str, Any]:
    return {
        "id": an_id(7),
        "project": node.project,
        "node": node.node,
        "at": NOON,
        "since": NOON,
        "uid": node.uid,
        "generation": node.generation,
        "revision": node.revision,
        "reason": Reason.READY,
        "sentence": "",
    }


def _json(record: Node | NodeStatusChanged | InstanceStatusChanged) -> bytes:
    return record.model_dump_json(by_alias=True).encode()


def _now_ms() -> int:
    return int(time.time() * 1000)
