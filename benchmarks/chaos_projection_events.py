"""A fleet's history as it lies on the bus: facts by real records, statuses by health's own code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

from confluent_kafka import Producer

from schemas.aliases import Alias
from schemas.commands import DeployNode, ScaleNode
from schemas.decisions import decide
from schemas.errors import IllegalMove
from schemas.evolution import AgentPhase
from schemas.ids import partition_of
from schemas.instances import Deletion, Instance
from schemas.messages import SEQ_HEADER, TERM_HEADER, TableRecord
from schemas.nodes import Node
from schemas.specs import NodeSpec
from schemas.statuses import Reason
from schemas.tables import OWNER_KEY, Owner
from schemas.topics import Topic
from services.chassis.clock import SYSTEM_CLOCK
from services.health.outbox import Gone, Outgoing
from services.health.statuses import PartitionStatuses

CHECKPOINT = "c" * 64
PHASES = ("started", "preparing", "ready")
FLUSH_SECONDS_MAX = 60.0
PRODUCED_AT_ONCE = 20_000
ALIAS_EVERY = 50
WRITES = {
    "provisioner": (Topic.OUTCOMES, Topic.NODES, Topic.ALIASES, Topic.INSTANCES),
    "health": (Topic.STATUSES,),
}


class Writer:
    """Writes records as owners of partitions do: under marks, stamped, keyed, placed."""

    def __init__(self, kafka: str, partitions: int) -> None:
        self._partitions = partitions
        self._seqs: Counter[tuple[str, int]] = Counter()
        self._producer = Producer(
            {
                "bootstrap.servers": kafka,
                "linger.ms": 20,
                "queue.buffering.max.messages": 2 * PRODUCED_AT_ONCE,
                "log_level": 0,
            }
        )
        self.count = 0

    def take_over(self) -> None:
        """As the first owners of an installation."""
        now = SYSTEM_CLOCK.now()
        for owner, topics in WRITES.items():
            for number in range(self._partitions):
                mark = Owner(term=1, owner=owner, log=f"log{number}", at=now)
                value = mark.model_dump_json().encode()
                for topic in topics:
                    self._send(topic, OWNER_KEY, number, value)

    def put(self, record: TableRecord) -> None:
        number = partition_of(record.place, self._partitions)
        stamped = record.model_copy(
            update={"term": 1, "seq": self._seqs[_owner(record.topic), number] + 1}
        )
        value = stamped.model_dump_json(by_alias=True).encode()
        self._send(record.topic, record.key, number, value)

    def bury(self, topic: Topic, key: str, place: str) -> None:
        self._send(topic, key, partition_of(place, self._partitions), None)

    def flush(self) -> None:
        left = self._producer.flush(FLUSH_SECONDS_MAX)
        assert left == 0, f"{left} records were not taken"

    def _send(self, topic: Topic, key: str, number: int, value: bytes | None) -> None:
        self._seqs[_owner(topic), number] += 1
        order = {TERM_HEADER: 1, SEQ_HEADER: self._seqs[_owner(topic), number]}
        headers: dict[str, str | bytes | None] = {name: str(n) for name, n in order.items()}
        self._producer.produce(topic.value, value, key.encode(), number, headers=headers)
        self.count += 1
        if self.count % PRODUCED_AT_ONCE == 0:
            self.flush()


def _owner(topic: Topic) -> str:
    return next(owner for owner, topics in WRITES.items() if topic in topics)


@dataclass
class Fleet:
    """Nodes, their instances, and what health has said of them so far."""

    writer: Writer
    endpoint: Callable[[str], str]
    nodes: dict[str, Node] = field(default_factory=dict)
    instances: dict[str, Instance] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._statuses = PartitionStatuses(self, SYSTEM_CLOCK)

    # What its statuses tell.

    def outgoing(self, outgoing: Outgoing) -> None:
        if isinstance(outgoing, Gone):
            self.writer.bury(Topic.STATUSES, outgoing.key, outgoing.place)
        else:
            self.writer.put(outgoing)

    def dirty(self) -> None:
        return

    def contactable(self, fact: Instance, *, is_so: bool) -> None:
        return

    def refused(self, instance: str, refusal: IllegalMove) -> None:
        raise AssertionError(f"{instance}: {refusal}")

    # What happens to it.

    def settle(self) -> None:
        """Nodes are looked at after several of their instances have changed, as health does it."""
        self._statuses.recount()

    def deploy(self, name: str, spec: NodeSpec) -> Node:
        return self._decided(None, DeployNode(id=SYSTEM_CLOCK.uuid(), node=name, spec=spec))

    def scale(self, node: Node, want: int) -> Node:
        return self._decided(node, ScaleNode(id=SYSTEM_CLOCK.uuid(), node=node.node, want=want))

    def alias(self, name: str, node: Node) -> None:
        told = {"node": name, "shares": {node.node: 100}, "generation": 1}
        given = {"id": SYSTEM_CLOCK.uuid(), "at": SYSTEM_CLOCK.now(), **told}
        self.writer.put(Alias.model_validate(given))

    def want(self, place: str, count: int) -> list[Instance]:
        """Some more of them; the node's record counts first."""
        node = self.nodes[place]
        self._put_node(node.model_copy(update={"next_n": node.next_n + count}))
        return [self._wanted(node, node.next_n + n) for n in range(count)]

    def create(self, fact: Instance) -> Instance:
        now = SYSTEM_CLOCK.now()
        endpoint = self.endpoint(fact.instance)
        return self._fact(fact.with_fact("InstanceCreated", now, created_at=now, endpoint=endpoint))

    def phase(self, fact: Instance, seq: int) -> None:
        entry = AgentPhase(seq=seq, phase=PHASES[seq - 1], at=SYSTEM_CLOCK.now())
        self._statuses.take_phases(fact, [entry])

    def remove(self, fact: Instance) -> None:
        now = SYSTEM_CLOCK.now()
        why = Deletion(reason=Reason.OUT_OF_DATE, at=now)
        self._fact(fact.with_fact("InstanceDeleting", now, deleting=why))
        self.writer.bury(Topic.INSTANCES, fact.key, fact.place)
        self._statuses.heard_instance(fact.instance, None)
        del self.instances[fact.instance]

    def close(self) -> None:
        self._statuses.close()

    def _fact(self, fact: Instance) -> Instance:
        self.instances[fact.instance] = fact
        self.writer.put(fact)
        self._statuses.heard_instance(fact.instance, fact)
        return fact

    def _wanted(self, node: Node, n: int) -> Instance:
        now = SYSTEM_CLOCK.now()
        told = {"id": SYSTEM_CLOCK.uuid(), "at": now, "wanted_at": now, "n": n}
        of = {name: getattr(node, name) for name in ("project", "node", "uid", "generation")}
        which = {"instance": node.instance_id(n), "revision": node.revision}
        return self._fact(Instance.model_validate({**told, **of, **which}))

    def _decided(self, before: Node | None, command: DeployNode | ScaleNode) -> Node:
        node = decide(before, command, SYSTEM_CLOCK.now())
        self._put_node(node)
        self._statuses.heard_node(node.place, node)
        return node

    def _put_node(self, node: Node) -> None:
        self.nodes[node.place] = node
        self.writer.put(node)


async def a_history(
    fleet: Fleet, nodes: int, per_node: int, *, events: int, spec: NodeSpec
) -> None:
    """Nodes come up side by side; then instances are replaced until so many events are written."""
    fleet.writer.take_over()
    for number in range(nodes):
        node = fleet.deploy(f"node-{chr(97 + number % 26)}{number}", spec)
        if number % ALIAS_EVERY == 0:
            fleet.alias(f"alias-{node.node}", node)
    fleet.settle()
    started = {place: fleet.want(place, per_node) for place in fleet.nodes}
    _come_up(fleet, [fact for facts in started.values() for fact in facts])
    for place in cycle(list(fleet.nodes)):
        if fleet.writer.count >= events:
            break
        _come_up(fleet, fleet.want(place, 1))
        fleet.remove(fleet.instances[started[place].pop(0).instance])
        fleet.settle()
    fleet.close()
    fleet.writer.flush()


def _come_up(fleet: Fleet, wanted: list[Instance]) -> None:
    """A phase after the other, for all of them."""
    fleet.settle()
    facts = [fleet.create(fact) for fact in wanted]
    fleet.settle()
    for seq in range(1, len(PHASES) + 1):
        for fact in facts:
            fleet.phase(fact, seq)
        fleet.settle()


def a_spec(per_node: int, probe_seconds: float) -> NodeSpec:
    told: dict[str, Any] = {
        "checkpoint": CHECKPOINT,
        "cell": "label = int(model.predict([image])[0])",
        "inputs": ["image"],
        "outputs": ["label"],
        "instances": {"min": max(1, per_node // 2), "want": per_node},
        "probe": {"interval_seconds": probe_seconds, "timeout_seconds": probe_seconds},
    }
    return NodeSpec.model_validate(told)
