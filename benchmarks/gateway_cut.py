"""One gateway cut off from Redis without being told: its connections stay open, nothing comes."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from uuid import uuid4

from benchmarks.gateway_load import Balancer, Load
from schemas.projection import head_key
from tests.e2e.bus import Producer
from tests.e2e.calls import call
from tests.e2e.waiting import until
from tests.e2e.world import World
from tests.servers import RedisServer
from tests.servers.process import LOOPBACK, ServerProcess
from tests.servers.service import ServiceProcess

CHANGES = 300
CUT_SECONDS = 12.0
RATE = 150.0  # Requests a second.
LOOK_SECONDS = 0.5
LOOKS_MIN = 8  # However long the changes took.
PARTITIONS = 4
CAUGHT_UP_SECONDS_MAX = 30.0
_AGE = re.compile(rb"^cellnode_gateway_projection_age_seconds (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Cut:
    """What came of it."""

    seconds: float
    changes: int
    requests: int
    failed: int
    age_wrong_by_seconds: float
    caught_up_seconds: float


@dataclass(frozen=True)
class CutGateway:
    """A gateway that reaches Redis through the proxy alone, and who calls it."""

    world: World
    redis: RedisServer
    proxy: ServerProcess
    gateway: ServiceProcess

    def cut_off(self, load: Load) -> Cut:
        """While nodes change; then it is given back what it missed."""
        names = [f"c{uuid4().hex[:6]}" for _ in range(2)]
        checkpoint = self.world.pin()
        self.world.ask(names[0], checkpoint, "x = 1", outputs=["x"])
        self.world.healthy(names[0], 1)
        self.proxy.pause()
        begun, written_at = time.monotonic(), self._written_at()
        changes = self._change(names[0], checkpoint)
        self.world.ask(names[1], checkpoint, "x = 2", outputs=["x"])
        self.world.healthy(names[1], 1)
        wrong_by = self._age_wrong_by(written_at, until_at=begun + CUT_SECONDS)
        assert self._answer(names[1]) == 404, "it was not cut off"
        self.proxy.resume()
        resumed, seconds = time.monotonic(), time.monotonic() - begun
        until("it knows", lambda: self._answer(names[1]) == 200, seconds=CAUGHT_UP_SECONDS_MAX)
        caught_up = time.monotonic() - resumed
        told = load.ended()
        return Cut(seconds, changes, told["requests"], told["failed"], wrong_by, caught_up)

    def _change(self, node: str, checkpoint: str) -> int:
        """Hundreds of specs that replace no instance."""
        spec = {"checkpoint": checkpoint, "cell": "x = 1", "outputs": ["x"]}
        with Producer(self.world.system.kafka) as producer:
            for n in range(CHANGES):
                changed = {**spec, "deadline_seconds": 10 + n, "instances": {"min": 1, "want": 1}}
                producer.publish(
                    {"kind": "DeployNode", "id": str(uuid4()), "node": node, "spec": changed}
                )
        return CHANGES

    def _age_wrong_by(self, written_at: float, *, until_at: float) -> float:
        """The largest difference between the age that is told and the true one."""
        wrong_by, looks = 0.0, 0
        while looks < LOOKS_MIN or time.monotonic() < until_at:
            looks += 1
            _, page = self.gateway.get("/metrics")
            found = _AGE.search(page)
            assert found is not None, "no age is told"
            wrong_by = max(wrong_by, abs(float(found[1]) - (time.time() - written_at)))
            time.sleep(LOOK_SECONDS)
        return wrong_by

    def _written_at(self) -> float:
        """When what Redis holds now was last confirmed by who writes it, for the oldest part."""
        answers = [self.redis.ask("HGET", head_key(n), "at") for n in range(PARTITIONS)]
        return min(float(answer.split("\r\n")[1]) for answer in answers) / 1000

    def _answer(self, node: str) -> int:
        return call((LOOPBACK, self.gateway.port), node).status


def cut_off(world: World, redis: RedisServer, node: str) -> Cut:
    """Everything of it is started and ended here."""
    with Balancer([redis.port]) as proxy:
        settings = {"REDIS_URL": f"redis://{LOOPBACK}:{proxy.port}/0"}
        with ServiceProcess("gateway", settings) as gateway:
            gateway.until_ready()
            with Load(gateway.port, node, RATE) as load:
                return CutGateway(world, redis, proxy, gateway).cut_off(load)
