"""What tests of several services ask for and look at: commands, followers, legal moves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from uuid import uuid4

import cellnode
from schemas.statuses import INSTANCE_MOVES
from tests.e2e.bus import Follower, Json, Producer, a_command, publish
from tests.e2e.on_kafka.services import Services, until_settled
from tests.e2e.waiting import until
from tests.servers import ApacheKafka, RedisServer

TOPICS = ("statuses", "nodes", "instances", "outcomes")
HEALTHY_SECONDS_MAX = 30.0
LEGAL = {now.value: {then.value for then in moves} for now, moves in INSTANCE_MOVES.items()} | {
    "DELETING": {"gone"},
    "gone": {"UNDEFINED"},
}


class Ground:
    """Some services, and the topics as anyone may read them."""

    def __init__(self, services: Services, topics: dict[str, Follower]) -> None:
        self.services, self.topics = services, topics
        self.kafka = services.kafka.address
        self.checkpoint = cellnode.pin(
            "e2e", namespace={}, store=services.store, check=False
        ).digest

    @property
    def unique(self) -> str:
        """The beginning of a name that nobody had."""
        return f"n{uuid4().hex[:6]}"

    def deployment(self, want: int = 1) -> Json:
        """A DeployNode of a node with a new name."""
        spec = {
            "checkpoint": self.checkpoint,
            "cell": "y = 1",
            "outputs": ["y"],
            "instances": {"min": 1, "want": want},
        }
        return a_command("DeployNode", self.unique, spec=spec)

    def publish(self, command: Json) -> Json:
        """Its outcome."""
        return publish(self.kafka, command)

    def publish_only(self, command: Json) -> None:
        with Producer(self.kafka) as producer:
            producer.publish(command)

    def repeat(self, command: Json) -> Json:
        """Publish it once more; the outcome that is told for it then."""
        known = len(self.outcomes(command["id"]))
        self.publish_only(command)
        return until(
            "it is answered again",
            lambda: self.outcomes(command["id"])[known:],
            seconds=HEALTHY_SECONDS_MAX,
        )[-1]

    def healthy(self, node: str, count: int) -> list[str]:
        statuses = self.topics["statuses"]
        return until(
            f"{node} has {count} healthy instances",
            lambda: self._exactly(statuses.instances(node, "HEALTHY"), count),
            seconds=HEALTHY_SECONDS_MAX,
        )

    def only(self, node: str, count: int) -> list[str]:
        """All that there is of the node is healthy, and no process runs besides or twice."""
        found = self.healthy(node, count)
        once = dict.fromkeys(found, 1)
        until(f"{once} run", lambda: self.services.sessions(node) == once)
        return found

    def delete(self, node: str) -> None:
        self.publish(a_command("DeleteNode", node))
        self.topics["statuses"].wait(f"default/{node}", "gone", seconds=HEALTHY_SECONDS_MAX)
        until("its processes are gone", lambda: not self.services.sessions(node))

    def outcomes(self, command: str) -> list[Json]:
        """Every record about the command."""
        values = [one.value or {} for one in self.topics["outcomes"].seen()]
        return [value for value in values if value.get("command") == command]

    def illegal_moves(self) -> list[tuple[str, str, str]]:
        """Of every instance, each life."""
        follower = self.topics["statuses"]
        keys = {one.key for one in follower.seen() if "/" not in one.key and one.key[0] != "~"}
        return [
            (key, now, then)
            for key in keys
            for now, then in pairwise(["gone", *follower.statuses(key)])
            if then not in LEGAL[now]
        ]

    @staticmethod
    def _exactly(found: list[str], count: int) -> list[str] | None:
        return found if len(found) == count else None


@contextmanager
def several(kafka: ApacheKafka, redis: RedisServer, **counts: int) -> Iterator[Ground]:
    """So many of each service, each with its share of the partitions."""
    with Services(kafka, redis) as services, ExitStack() as stack:
        for name, count in counts.items():
            for _ in range(count):
                services.add(name)
            until_settled(services, name)
        topics = {
            topic: stack.enter_context(Follower(kafka.address, f"cellnode.{topic}"))
            for topic in TOPICS
        }
        yield Ground(services, topics)
