"""Random commands and random deaths at once; then the books must balance again."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from schemas.statuses import INSTANCE_MOVES
from tests.e2e.bus import Follower, Json, Producer, a_command
from tests.e2e.calls import Answer
from tests.e2e.system import System, traces_of
from tests.e2e.waiting import until
from tests.e2e.world import WHO, World

CHAOS_SECONDS = 15.0
SETTLE_SECONDS_MAX = 60.0  # Half of it is the promise; a busy machine may take twice as long.
BURST_COMMANDS = 200
GATEWAY_BACK_SECONDS = 5.0
NAMES = ("a0", "b1", "c2", "d3")
BAD_RECORDS = (b"", b"{", b"\xff\xfe", b"[]", b"null", b'{"kind": "X"}', b"[" * 50_000, b"1e999")
TOPICS = ("statuses", "nodes", "instances", "outcomes")
PAUSES_SECONDS = (0.5, 2.0, 5.0)  # The last is longer than the session timeout.
LEGAL = {now.value: {then.value for then in moves} for now, moves in INSTANCE_MOVES.items()} | {
    "DELETING": {"gone"},
    "gone": {"UNDEFINED"},
}

pytestmark = [pytest.mark.full, pytest.mark.timeout(180)]


class Chaos:
    """Whatever an outside program or a bad day may do, drawn from one seed."""

    def __init__(self, world: World, producer: Producer, seed: int) -> None:
        self.world, self.producer, self.dice = world, producer, random.Random(seed)
        self.sent: set[str] = set()
        self.gateway_kills: list[float] = []
        self._checkpoints = [world.pin(v=1), world.pin(v=2)]
        self._paused: list[threading.Timer] = []

    def run(self) -> None:
        """Commands all the time, a fault now and then, a burst in the middle."""
        begun = fault_at = time.monotonic()
        burst_at = begun + CHAOS_SECONDS / 2
        while time.monotonic() < begun + CHAOS_SECONDS:
            self.dice.choice(self._commands())()
            if time.monotonic() > fault_at:
                self.dice.choice([self.kill, self.pause, self.hit, self.hit])()
                fault_at = time.monotonic() + self.dice.uniform(0.5, 2.0)
            if time.monotonic() > burst_at:
                burst_at = float("inf")
                for _ in range(BURST_COMMANDS):
                    self.send("ScaleNode", want=self.dice.choice([1, 2]))
            time.sleep(self.dice.uniform(0.02, 0.3))
        for timer in self._paused:
            timer.join()

    def _commands(self) -> list[Callable[[], Any]]:
        return [
            *[self.deploy] * 6,
            *[self.scale] * 4,
            *[self.bad_record] * 3,
            *[lambda: self.send("RecreateNode")] * 2,
            *[lambda: self.send("DeleteNode")] * 3,
            self.delete_and_deploy,
            self.reuse_an_id,
            self.bad_spec,
        ]

    def send(self, kind: str, name: str = "", **fields: Any) -> Json:
        command = a_command(kind, name or self.dice.choice(NAMES), **fields)
        command["id"] = str(UUID(int=self.dice.getrandbits(128), version=4))
        self.sent.add(command["id"])
        self.producer.publish(command)
        return command

    def spec(self, **changes: Any) -> Json:
        return {
            "checkpoint": self.dice.choice(self._checkpoints),
            "cell": self.dice.choice(["y = v", "y = v + 1"]),
            "outputs": ["y"],
            "instances": {"min": 1, "want": self.dice.choice([1, 1, 2])},
            **changes,
        }

    def deploy(self, name: str = "") -> Json:
        return self.send("DeployNode", name, spec=self.spec())

    def scale(self) -> None:
        self.send("ScaleNode", want=self.dice.choice([0, 1, 2, 3]))

    def delete_and_deploy(self) -> None:
        name = self.dice.choice(NAMES)
        self.send("DeleteNode", name)
        self.deploy(name)

    def reuse_an_id(self) -> None:
        command = self.deploy()
        self.producer.publish(command)
        self.producer.publish({**command, "spec": self.spec(cell="y = 99")})

    def bad_spec(self) -> None:
        bad: list[Json] = [{"cell": "y = ("}, {"checkpoint": "0" * 64}, {"colour": "red"}]
        self.send("DeployNode", spec=self.spec(**self.dice.choice(bad)))

    def bad_record(self) -> None:
        key = self.dice.choice([b"\xff", *(f"default/{name}".encode() for name in NAMES)])
        self.producer.publish_bytes(self.dice.choice(BAD_RECORDS), key)

    def kill(self) -> None:
        service = self.dice.choice(["provisioner", "health", "gateway", "redis"])
        if service == "gateway":
            self.gateway_kills.append(time.monotonic())
        self.world.system.kill_service(service)

    def pause(self) -> None:
        service = self.dice.choice(["provisioner", "health", "redis"])
        self._go_on_later(self.world.system.kill_service(service, signal.SIGSTOP))

    def hit(self) -> None:
        """Something happens to an instance that is not the steady one's."""
        folder = self.world.system.data / "instances"
        found = sorted(one.name for one in folder.iterdir() if not one.name.startswith("steady"))
        with suppress(OSError, ValueError, IndexError):  # It may be gone, or not there yet.
            pids = self.world.system.instance_pids(self.dice.choice(found))
            match self.dice.choice(["all", "agent", "keeper", "pause"]):
                case "all":
                    os.killpg(pids["group"], signal.SIGKILL)
                case "agent":
                    os.kill(pids["agent"], signal.SIGKILL)
                case "keeper":
                    os.kill(pids["group"], signal.SIGKILL)
                case _:
                    os.kill(pids["agent"], signal.SIGSTOP)
                    self._go_on_later(pids["agent"])

    def _go_on_later(self, pid: int) -> None:
        def go_on() -> None:
            with suppress(OSError):
                os.kill(pid, signal.SIGCONT)

        timer = threading.Timer(self.dice.choice(PAUSES_SECONDS), go_on)
        timer.start()
        self._paused.append(timer)

    def is_excused(self, answer: Answer) -> bool:
        """A gateway that was killed takes with it what it was answering, and needs to be back."""
        return answer.status == 0 and any(
            killed <= answer.ended <= killed + GATEWAY_BACK_SECONDS for killed in self.gateway_kills
        )


class Books:
    """The topics as anyone may read them, and what has to be so between them."""

    def __init__(self, world: World, topics: dict[str, Follower]) -> None:
        self.world, self.topics = world, topics

    def of(self, topic: str) -> dict[str, Json]:
        return self.world.folded(self.topics[topic])

    def outcomes(self) -> dict[str, set[tuple[str, int | None]]]:
        """What was said of each command; a refused reuse of an id is about another body."""
        found: dict[str, set[tuple[str, int | None]]] = {}
        for value in (one.value or {} for one in self.topics["outcomes"].seen()):
            if "command" in value and value.get("reason") != "COMMAND_ID_REUSED":
                meaning = (value["kind"], value.get("generation"))
                found.setdefault(value["command"], set()).add(meaning)
        return found

    def differences(self) -> list[Any]:
        """Nodes without what they want, and records and directories without a node."""
        nodes, instances, statuses = self.of("nodes"), self.of("instances"), self.of("statuses")
        folders = {one.name for one in (self.world.system.data / "instances").iterdir()}
        orphans = [key for key, one in instances.items() if f"default/{one['node']}" not in nodes]
        unknown = set(statuses) - set(nodes) - set(instances)
        wrong = [key for key, node in nodes.items() if not self._is_as_wanted(key, node)]
        return [*wrong, *orphans, *unknown, *(folders - set(instances))]

    def _is_as_wanted(self, place: str, node: Json) -> bool:
        if node["deleting"]:
            return False
        if node["spec"]["cell"] == "y = (" or node["spec"]["checkpoint"] == "0" * 64:
            return True  # Tried again for ever, later each time; what serves may be older.
        statuses = self.of("statuses")
        mine = {key for key, one in self.of("instances").items() if one["node"] == node["node"]}
        said = {key: statuses.get(key, {}).get("status") for key in {*mine, place}}
        is_whole = len(mine) == node["spec"]["instances"]["want"]
        return is_whole and set(said.values()) == {"HEALTHY"}

    def is_projected(self) -> bool:
        """Redis equals the fold, text for text."""
        statuses, nodes = self.world.everything_known(), self.world.projected("nodes")
        return (as_text(statuses), as_text(nodes)) == (
            as_text(self.of("statuses")),
            as_text(self.of("nodes")),
        )

    def illegal_moves(self) -> list[tuple[str, str, str]]:
        """Of every instance, each life: whatever died meanwhile, DELETING comes before its end."""
        follower = self.topics["statuses"]
        keys = {one.key for one in follower.seen() if "/" not in one.key and one.key[0] != "~"}
        return [
            (key, now, then)
            for key in keys
            for now, then in pairwise(["gone", *follower.statuses(key)])
            if then not in LEGAL[now]
        ]


def as_text(table: dict[str, Json]) -> dict[str, str]:
    return {key: json.dumps(value) for key, value in table.items()}


@pytest.fixture
def books(own_system: System) -> Iterator[Books]:
    with ExitStack() as stack:
        topics = {
            topic: stack.enter_context(Follower(own_system.kafka, f"cellnode.{topic}"))
            for topic in TOPICS
        }
        yield Books(World(own_system, topics["statuses"]), topics)
    own_system.stop()
    assert traces_of(own_system.data) == []


@pytest.mark.parametrize("seed", [1])
def test_after_random_commands_and_deaths_everything_is_as_the_nodes_say(
    books: Books, seed: int
) -> None:
    world = books.world
    world.ask("steady", world.pin(), WHO, want=2, outputs=["who"], idempotent=True)
    world.healthy("steady", 2)

    with Producer(world.system.kafka) as producer, world.load("steady") as seen:
        chaos = Chaos(world, producer, seed)
        chaos.run()
    settled(books, chaos)

    assert [len(said) for said in books.outcomes().values() if len(said) != 1] == []
    assert books.illegal_moves() == []
    assert [one for one in seen.failed() if not chaos.is_excused(one)] == [], seen.told()
    for service in ("provisioner", "health", "gateway"):
        assert "Traceback" not in world.system.log(service)


def settled(books: Books, chaos: Chaos) -> None:
    """Every command is answered, the world is as wanted, and Redis says so."""
    until(
        "every command has an outcome",
        lambda: chaos.sent <= set(books.outcomes()),
        seconds=SETTLE_SECONDS_MAX,
        pause_seconds=0.2,
    )
    try:
        until(
            "all is as wanted",
            lambda: not books.differences(),
            seconds=SETTLE_SECONDS_MAX,
            pause_seconds=0.2,
        )
    except AssertionError as error:
        raise AssertionError(f"{error}; {books.differences()}") from None
    until("Redis holds what the topics hold", books.is_projected, pause_seconds=0.1)
