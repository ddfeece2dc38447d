"""Where the projection is put to the test: Kafka, Redis, agents, and one health between them."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path

from benchmarks.chaos_processes import ServiceProcess
from benchmarks.chaos_projection_cut import Cutter
from benchmarks.chaos_projection_events import Fleet, Writer, a_history, a_spec
from benchmarks.chaos_projection_held import PROJECTED, Held
from benchmarks.chaos_reading import Reader
from benchmarks.parts import say
from schemas.instances import Instance
from tests.e2e.waiting import until
from tests.servers import ApacheKafka, RedisServer
from tests.servers.topics import make_topics
from tests.sources import ROOT

PARTITIONS = 12
PROBE_SECONDS = 5.0
AGENTS = ROOT / "tests" / "services" / "health" / "many_agents.py"
AGENTS_PER_PROCESS = 5_000  # Two sockets each.
START_SECONDS_MAX = 60.0
ADDRESS = re.compile(r'"address": "([^"]+)"')
PASSED = re.compile(r'^cellnode_health_probes_total\{outcome="PASSED"\} (\S+)$', re.MULTILINE)


class Stage:
    """Entered, the events lie on Kafka, every agent answers, and Redis is empty."""

    def __init__(self, nodes: int, per_node: int, events: int) -> None:
        self._size = (nodes, per_node)
        self._events = events
        self._stack = ExitStack()
        self.directory = Path(tempfile.mkdtemp(prefix="cn-", dir="/tmp"))
        self.kafka, self.redis = ApacheKafka(), RedisServer()

    def __enter__(self) -> Stage:
        with ExitStack() as starting:
            self._begin(starting)
            self._stack = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def endpoint(self, instance: str) -> str:
        return f"unix:{self.directory}/{instance}"

    def _begin(self, stack: ExitStack) -> None:
        stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
        stack.enter_context(self.kafka)
        stack.enter_context(self.redis)
        asyncio.run(make_topics(self.kafka.address, partitions=PARTITIONS))
        self.fleet = Fleet(Writer(self.kafka.address, PARTITIONS), self.endpoint)
        nodes, per_node = self._size
        spec = a_spec(per_node, PROBE_SECONDS)
        begun = time.monotonic()
        asyncio.run(a_history(self.fleet, nodes, per_node, events=self._events, spec=spec))
        say(f"{self.fleet.writer.count} events written in {time.monotonic() - begun:.1f} s")
        self.topics = [topic.value for topic in PROJECTED]
        self.reader = stack.enter_context(Reader(self.kafka.address, self.topics, PARTITIONS))
        self.cutter = stack.enter_context(Cutter(self.redis.port))
        self.held = Held(self.kafka.address, self.redis.url, self.reader, partitions=PARTITIONS)
        stack.callback(self.held.close)
        self._start_agents(stack, list(self.fleet.instances.values()))
        self.health = self._health()
        stack.callback(self.health.stop)

    def start_health(self) -> float:
        """A new process; the moment at which it runs, and begins to take over."""
        self.health.log.unlink(missing_ok=True)
        self.health.start()
        until(
            "health runs",
            lambda: "listening" in self.health.log.read_text(),
            seconds=START_SECONDS_MAX,
        )
        return time.monotonic()

    def probes_passed(self) -> float:
        """As health counts them."""
        said = ADDRESS.search(self.health.log.read_text())
        assert said is not None, "health says where it listens"
        with urllib.request.urlopen(f"http://{said[1]}/metrics", timeout=10) as answer:
            found = PASSED.search(answer.read().decode())
        return float(found[1]) if found else 0.0

    def _start_agents(self, stack: ExitStack, facts: list[Instance]) -> None:
        for start in range(0, len(facts), AGENTS_PER_PROCESS):
            some = facts[start : start + AGENTS_PER_PROCESS]
            lines = "".join(f"{one.instance} {self.directory}/{one.instance}\n" for one in some)
            command = [sys.executable, str(AGENTS)]
            agents = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            stack.callback(_ended, agents)
            assert agents.stdin is not None
            assert agents.stdout is not None
            agents.stdin.write(lines.encode())
            agents.stdin.close()
            assert agents.stdout.readline() == b"ready\n"

    def _health(self) -> ServiceProcess:
        environment = {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.address,
            "REDIS_URL": f"redis://127.0.0.1:{self.cutter.port}/0",
            "CELLNODE_PARTITIONS": str(PARTITIONS),
            "CELLNODE_CREATE_TOPICS": "false",
        }
        return ServiceProcess("health", ["services.health"], environment, self.directory)


def _ended(agents: subprocess.Popen[bytes]) -> None:
    agents.kill()
    agents.wait()
    if agents.stdout is not None:
        agents.stdout.close()
