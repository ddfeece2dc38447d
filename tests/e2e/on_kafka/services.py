"""Several provisioners and healths side by side, each a process that a test may kill or pause."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from typing_extensions import Self

from schemas.ids import partition_of
from tests.e2e.system import is_ready, running
from tests.e2e.waiting import until
from tests.servers import ApacheKafka, RedisServer
from tests.servers.process import LOOPBACK, ServerProcess, free_port
from tests.sources import ROOT

PARTITIONS = 4
SESSION_SECONDS = 3.0
TAKEN_OVER_SECONDS_MAX = SESSION_SECONDS + 5.0


class Service(ServerProcess):
    """One process of one service. Started again it is a new member of its group."""

    ready_line = ""
    start_seconds_max = 40.0

    def __init__(self, name: str, settings: Mapping[str, str]) -> None:
        self.name = name
        super().__init__()
        self._listen = f"{LOOPBACK}:{free_port()}"
        listen = {f"CELLNODE_{name.upper()}_LISTEN": self._listen}
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), **settings, **listen}

    def command(self) -> list[str]:
        return [sys.executable, "-P", "-m", f"services.{self.name}"]

    def answers(self) -> bool:
        return is_ready(self._listen)

    def said(self, event: str) -> list[dict[str, Any]]:
        """The facts of each line of its log that tells of this."""
        lines = (_parsed(line) for line in self.log().splitlines())
        return [line for line in lines if line.get("event") == event]

    def term(self, partition: int) -> int:
        """The last under which it took the partition over, 0 if it never did."""
        told = self.said("partition taken over")
        return max((one["term"] for one in told if one["partition"] == partition), default=0)


class Services:
    """Who runs beside whom, on one Kafka and one Redis, in one directory if not said otherwise."""

    def __init__(self, kafka: ApacheKafka, redis: RedisServer) -> None:
        self.kafka, self.redis = kafka, redis
        self.data = Path(tempfile.mkdtemp(prefix="cn-", dir="/tmp"))
        self.store = self.data / "store"
        self.running: list[Service] = []

    def add(self, name: str, *, data: Path | None = None, **settings: str) -> Service:
        """Start one more; it is ready when it has joined and taken over what it was given."""
        shared = {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.address,
            "KAFKA_SESSION_TIMEOUT_MS": str(int(SESSION_SECONDS * 1000)),
            "KAFKA_FETCH_MAX_WAIT_MS": "20",
            "REDIS_URL": self.redis.url,
            "CELLNODE_DATA": str(data or self.data),
            "CELLNODE_STORE": str(self.store),
            "CELLNODE_PARTITIONS": str(PARTITIONS),
        }
        service = Service(name, {**shared, **settings})
        self.running.append(service)
        service.start()
        return service

    def owner(self, place: str, name: str = "provisioner") -> Service:
        """Who took the partition of this place over last."""
        partition = partition_of(place, PARTITIONS)
        several = [one for one in self.running if one.name == name]
        found = max(several, key=lambda one: one.term(partition))
        assert found.term(partition), f"nobody owns {partition}"
        return found

    def sessions(self, node: str) -> dict[str, int]:
        """How many times each instance of a node runs: all processes of one are one session."""
        found: dict[str, set[int]] = {}
        folder = os.fsencode(self.data / "instances") + b"/"
        for pid, parts in running():
            paths = [part[len(folder) :] for part in parts if part.startswith(folder)]
            names = {path.split(b"/")[0].decode() for path in paths}
            for name in (one for one in names if one.startswith(f"{node}-")):
                with contextlib.suppress(ProcessLookupError):
                    found.setdefault(name, set()).add(os.getsid(pid))
        return {name: len(sessions) for name, sessions in found.items()}

    def kill_instance(self, instance: str) -> None:
        record = self.data / "instances" / instance / "agent.pid"
        os.killpg(os.getpgid(int(json.loads(record.read_text())["pid"])), signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for service in self.running:
            service.remove()
        for folder in self.data.glob("instances/*"):
            with contextlib.suppress(OSError, ValueError):
                self.kill_instance(folder.name)
        shutil.rmtree(self.data, ignore_errors=True)


def _parsed(line: str) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        found = json.loads(line)
        if isinstance(found, dict):
            return found
    return {}


def is_settled(services: Services, name: str) -> bool:
    """Whether those that run own all partitions together, and nobody more than its share."""
    alive = [one for one in services.running if one.name == name and one.is_running]
    owners = [services.owner(f"p/{one}", name) for one in _a_place_of_each()]
    return len({id(one) for one in owners}) == min(len(alive), PARTITIONS)


def until_settled(services: Services, name: str) -> None:
    until(
        f"each {name} owns its share",
        lambda: is_settled(services, name),
        seconds=3 * TAKEN_OVER_SECONDS_MAX,
        pause_seconds=0.1,
    )


def _a_place_of_each() -> list[str]:
    found: dict[int, str] = {}
    for number in range(100):
        found.setdefault(partition_of(f"p/n{number}", PARTITIONS), f"n{number}")
    return list(found.values())
