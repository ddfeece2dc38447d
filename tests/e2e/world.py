"""What the end-to-end tests do to a running system, all of it from outside."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import cellnode
from tests.e2e.bus import Follower, Json, Seen, a_command, deploy_node, publish
from tests.e2e.calls import Answer, Caller, Load, call, load
from tests.e2e.system import System
from tests.e2e.waiting import until

ROUTED_SECONDS_MAX = 0.25
WHO = "import os\nwho = os.getpid()"


class Gate:
    """A pinned value whose loading waits until the gate is opened: a slow checkpoint."""

    def __init__(self, folder: Path) -> None:
        self._opened, self._reached = folder / "opened", folder / "reached"

    def __reduce__(self) -> tuple[Any, ...]:
        source = (
            "import os, time\n"
            f"with open({str(self._reached)!r}, 'w') as file: file.write(str(time.time()))\n"
            f"while not os.path.exists({str(self._opened)!r}): time.sleep(0.01)"
        )
        return (exec, (source,))

    def open(self) -> None:
        self._opened.touch()

    def close(self) -> None:
        """For whoever loads it from now on."""
        self._opened.unlink()

    @property
    def was_reached(self) -> bool:
        return self._reached.exists() and self._reached.stat().st_size > 0

    @property
    def reached_at(self) -> float:
        """When loading came to this value, in seconds since the epoch."""
        return float(self._reached.read_text())


class Damaged:
    """A pinned value whose loading raises."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, ("raise RuntimeError('this value cannot be loaded')",))


class World:
    """A running system, an outside consumer of its statuses, and shorthands for both."""

    def __init__(self, system: System, statuses: Follower) -> None:
        self.system, self.statuses = system, statuses
        self.folder = system.data / "gates"
        self._made: list[str] = []

    def pin(self, **namespace: Any) -> str:
        """A checkpoint of these variables in the system's store; its digest."""
        return cellnode.pin("e2e", namespace=namespace, store=self.system.store, check=False).digest

    def gate(self) -> Gate:
        folder = self.folder / uuid4().hex
        folder.mkdir(parents=True)
        return Gate(folder)

    def name(self) -> str:
        """The name of a node that `forget` will delete."""
        name = f"n{uuid4().hex[:6]}"
        self._made.append(name)
        return name

    def ask(self, node: str, checkpoint: str, cell: str, *, want: int = 1, **spec: Any) -> Json:
        """DeployNode; its outcome."""
        instances = {"min": spec.pop("min", want), "want": want}
        wanted = {"checkpoint": checkpoint, "cell": cell, "instances": instances, **spec}
        return deploy_node(self.system.kafka, node, **wanted)

    def deploy(self, checkpoint: str, cell: str, *, want: int = 1, **spec: Any) -> str:
        """A node whose instances are all HEALTHY; its name."""
        node = self.name()
        outcome = self.ask(node, checkpoint, cell, want=want, **spec)
        assert outcome["kind"] == "CommandAccepted", outcome
        self.healthy(node, want)
        return node

    def command(self, kind: str, node: str, **fields: Any) -> Json:
        return publish(self.system.kafka, a_command(kind, node, **fields))

    def healthy(self, node: str, count: int, *, seconds: float = 20.0) -> list[str]:
        """Wait until exactly so many instances are HEALTHY and the node says so."""

        def look() -> list[str] | None:
            found = self.statuses.instances(node, "HEALTHY")
            said = self.statuses.now(f"default/{node}")
            fits = len(found) == count and said is not None and said.status == "HEALTHY"
            return found if fits else None

        return until(f"{node} has {count} healthy instances", look, seconds=seconds)

    def recreate(self, node: str, count: int) -> list[str]:
        """RecreateNode, until all of the old instances are on their way out; the new ones."""
        before = set(self.statuses.instances(node))
        assert self.command("RecreateNode", node)["kind"] == "CommandAccepted"
        until("the old ones leave", lambda: not before & self.staying(node), seconds=30)
        return self.healthy(node, count)

    def staying(self, node: str) -> set[str]:
        """The instances that are not being removed."""
        leaving = self.statuses.instances(node, "DELETING")
        return set(self.statuses.instances(node)) - set(leaving)

    def only(self, node: str, count: int) -> None:
        """Wait until nothing is left of the node but so many instances."""
        until(
            "the others are gone",
            lambda: len(self.statuses.instances(node)) == count,
            seconds=30,
        )

    def call(self, node: str, **inputs: Any) -> Answer:
        return call(self.system.gateway, node, **inputs)

    def answers(self, node: str, **inputs: Any) -> Answer:
        """The first answer that is not "no healthy instance": routed means this."""

        def look() -> Answer | None:
            answer = self.call(node, **inputs)
            return None if answer.status in (0, 404, 503) else answer

        return until(f"{node} answers", look)

    def routed(self, node: str, count: int, **inputs: Any) -> None:
        """Wait until so many interpreters have answered; the cell tells `who` it is."""
        seen: set[int] = set()

        def look() -> bool:
            seen.add(self.answers(node, **inputs).output["who"])
            return len(seen) == count

        until(f"{count} instances of {node} answer", look)

    def let_gateways_hear(self) -> None:
        """The time that is promised between an event and the last request against it."""
        time.sleep(ROUTED_SECONDS_MAX)

    @contextmanager
    def load(self, node: str, **how: Any) -> Iterator[Load]:
        """A steady load that has begun to be answered."""
        self.answers(node, **how.get("inputs", dict)())
        with load(self.system.gateway, node, **how) as seen:
            seen.wait_for(10)
            yield seen

    def status(self, node: str) -> Seen:
        found = self.statuses.now(f"default/{node}")
        assert found is not None, f"nothing was said of {node}"
        return found

    def redis(self, *words: str) -> list[str]:
        """What the system's Redis answers, as text lines."""
        return redis_says(self.system.redis_socket, *words)

    def projected(self, table: str) -> dict[str, Json]:
        """One table of the projection over all partitions, as Redis holds it now."""
        found: dict[str, Json] = {}
        for head in self.redis("KEYS", "cellnode:*:head"):
            (incarnation,) = self.redis("HGET", head, "incarnation")
            flat = self.redis("HGETALL", f"{head.removesuffix('head')}{incarnation}:{table}")
            found |= {
                key: json.loads(value) for key, value in zip(flat[::2], flat[1::2], strict=True)
            }
        return found

    def meaning(self) -> dict[str, tuple[str, str]]:
        """Status and reason of everything that is not on its way out."""
        known = self.folded(self.statuses)
        return {
            key: (value["status"], value["reason"])
            for key, value in known.items()
            if value["status"] == "HEALTHY"
        }

    def still_works(self, node: str) -> None:
        """A command is carried out, seen and routed."""
        assert self.command("ScaleNode", node, want=3)["kind"] == "CommandAccepted"
        grown = self.healthy(node, 3)
        assert self.command("ScaleNode", node, want=2)["kind"] == "CommandAccepted"
        until("one leaves", lambda: len(self.staying(node)) == 2)
        assert len(grown) == 3

    def outcome(self, command: str, kind: str) -> Json | None:
        """An outcome of this kind for the command, if there is one."""
        with Follower(self.system.kafka, "cellnode.outcomes") as outcomes:
            time.sleep(0.2)
            values = [one.value or {} for one in outcomes.seen()]
        fitting = (
            one for one in values if (one.get("command"), one.get("kind")) == (command, kind)
        )
        return next(fitting, None)

    def everything_projected(self) -> str:
        """Keys and values of the whole projection, as one text."""
        tables = ("nodes", "node-statuses", "instance-statuses")
        return json.dumps([self.projected(table) for table in tables])

    def everything_known(self) -> dict[str, Json]:
        """What the projection says of every node and instance."""
        return {**self.projected("node-statuses"), **self.projected("instance-statuses")}

    def folded(self, follower: Follower) -> dict[str, Json]:
        """The last record of every key that is not buried."""
        last = {one.key: one.value for one in follower.seen() if not one.key.startswith("~")}
        return {key: value for key, value in last.items() if value is not None}

    def hold_back(self, node: str) -> int:
        """SIGSTOP the first instance of the node as soon as its process exists; its session."""
        return until(
            "an agent to hold back",
            lambda: self.system.stopped_session_of(node),
            pause_seconds=0.001,
        )

    def running_executions(self, node: str) -> int:
        """How many instances of the node run a request now, as their agents say."""
        phases = [self.system.phase(instance) for instance in self.statuses.instances(node)]
        return sum(bool(phase.get("running")) for phase in phases)

    @contextmanager
    def caller(self) -> Iterator[Caller]:
        caller = Caller(self.system.gateway)
        yield caller
        caller.close()

    def forget(self) -> None:
        """Delete what the test has made; nobody waits for it."""
        for node in self._made:
            if self.statuses.now(f"default/{node}") is not None:
                self.command("DeleteNode", node)
        self._made.clear()


def trained_digits() -> tuple[Any, Any, list[int]]:
    """A small classifier trained here, images that it has not seen, and its own answers."""
    from sklearn.datasets import load_digits
    from sklearn.naive_bayes import GaussianNB

    images, truth = load_digits(return_X_y=True)
    model = GaussianNB().fit(images[:1200], truth[:1200])
    return model, images[1200:1260], model.predict(images[1200:1260]).tolist()


def moment(text: str) -> float:
    """A time of a record in seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()


def known(answer: Answer) -> Answer | None:
    """The answer, unless the gateway has not heard of the node yet."""
    return None if answer.status in (0, 404) else answer


def gone(answer: Answer) -> Answer | None:
    """The answer, if it says that the node is leaving or has left."""
    return answer if answer.status in (404, 410) else None


def redis_says(socket_path: str, *words: str) -> list[str]:
    """A command to a Redis server over its Unix socket, in RESP, without a library."""
    from redis import Redis

    with Redis(unix_socket_path=socket_path, decode_responses=True, socket_timeout=5) as client:
        answer = client.execute_command(*words)
    flat = answer if isinstance(answer, list) else [answer]
    if isinstance(answer, dict):
        flat = [part for pair in answer.items() for part in pair]
    return [str(part) for part in flat if part is not None]


def said_by(command: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program as a user does; its exit code and what it printed."""
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def seconds_since(moment: float) -> float:
    return time.monotonic() - moment
