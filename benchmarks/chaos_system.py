"""Apache Kafka, Redis, a simulated fleet and replicas of the services, on free loopback ports."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import socket
import tempfile
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from confluent_kafka.admin import AdminClient

from benchmarks.chaos_processes import ServiceProcess, Supervisor
from benchmarks.simulated_fleet import SOCKET
from schemas.topics import Topic
from tests.e2e.waiting import until
from tests.servers import ApacheKafka, RedisServer

PARTITIONS = 12
SESSION_SECONDS = 6.0
REPLICAS = 3
START_SECONDS_MAX = 60.0
SEND_SECONDS_MAX = 10.0
FLEET_SECONDS_MAX = 10.0


class ChaosSystem:
    """Entered, all of it runs; `logs` says where it tells what it does."""

    def __init__(self, seed: int, *, gateways: int = 0, is_with_api: bool = False) -> None:
        self._seed = seed
        self._stack = ExitStack()
        self.directory = Path(tempfile.mkdtemp(prefix="cn-", dir="/tmp"))
        self.kafka = ApacheKafka()
        self.redis = RedisServer()
        self.fleet = Fleet(self.directory / SOCKET)
        names = range(REPLICAS)
        self.provisioners = [self._provisioner(n) for n in names]
        self.healths = [self._service("health", n, {}) for n in names]
        self.api_port, ports = free_port(), [free_port() for _ in range(gateways)]
        self.apis = [self._api()] if is_with_api else []
        self.gateway_ports = ports
        self.gateways = [self._gateway(n, port) for n, port in enumerate(ports)]

    @property
    def members(self) -> list[ServiceProcess]:
        return [*self.provisioners, *self.healths, *self.apis, *self.gateways]

    def __enter__(self) -> ChaosSystem:
        with ExitStack() as starting:
            self._begin(starting)
            self._stack = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def until_topics(self) -> None:
        """The first service has made them, and their partitions have leaders."""
        client = AdminClient({"bootstrap.servers": self.kafka.address, "log_level": 0})

        def are_there() -> bool:
            known = client.list_topics(timeout=FLEET_SECONDS_MAX).topics
            return all(
                topic.value in known and len(known[topic.value].partitions) == PARTITIONS
                for topic in Topic
            )

        until("the topics are there", are_there, seconds=START_SECONDS_MAX)

    def _begin(self, stack: ExitStack) -> None:
        stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
        stack.enter_context(self.kafka)
        stack.enter_context(self.redis)
        arguments = ["benchmarks.simulated_fleet", str(self.directory), str(self._seed)]
        fleet = ServiceProcess("fleet", arguments, {}, self.directory)
        for member in (fleet, *self.members):
            stack.callback(member.stop)
        fleet.start()
        until("the fleet answers", self.fleet.answers, seconds=START_SECONDS_MAX)
        for member in self.members:
            member.start()
        stack.enter_context(Supervisor(self.members))

    def _provisioner(self, n: int) -> ServiceProcess:
        own = {
            "CELLNODE_PROVISIONER_CREATIONS_IN_FLIGHT_MAX": "32",
            "CELLNODE_PROVISIONER_UNKNOWN_AFTER_SECONDS": "10",
            "CELLNODE_PROVISIONER_SEND_TIMEOUT_SECONDS": f"{SEND_SECONDS_MAX:g}",
        }
        arguments = ["benchmarks.simulated_provider", str(self.directory / SOCKET)]
        return self._process(f"provisioner-{n}", arguments, own)

    def _service(self, service: str, n: int, own: dict[str, str]) -> ServiceProcess:
        return self._process(f"{service}-{n}", [f"services.{service}"], own)

    def _api(self) -> ServiceProcess:
        return self._service("api", 0, {"CELLNODE_API_LISTEN": f"127.0.0.1:{self.api_port}"})

    def _gateway(self, n: int, port: int) -> ServiceProcess:
        api = f"http://127.0.0.1:{self.api_port}" if self.apis else ""
        own = {"CELLNODE_GATEWAY_LISTEN": f"127.0.0.1:{port}", "CELLNODE_GATEWAY_API_URL": api}
        return self._service("gateway", n, own)

    def _process(self, name: str, arguments: list[str], own: dict[str, str]) -> ServiceProcess:
        shared = {
            "KAFKA_BOOTSTRAP_SERVERS": self.kafka.address,
            "KAFKA_SESSION_TIMEOUT_MS": str(int(SESSION_SECONDS * 1000)),
            "REDIS_URL": self.redis.url,
            "CELLNODE_PARTITIONS": str(PARTITIONS),
        }
        return ServiceProcess(name, arguments, {**shared, **own}, self.directory)


class Fleet:
    """The simulated fleet as the measurement sees it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def answers(self) -> bool:
        with contextlib.suppress(OSError):
            return self.present() is not None
        return False

    def present(self) -> list[dict[str, Any]]:
        """Every VM that was not removed, the exited ones too."""
        return list(self._ask("GET", "/vms"))

    def truth(self) -> list[dict[str, Any]]:
        return list(self._ask("GET", "/truth"))

    def crash(self, instance: str) -> None:
        self._ask("POST", f"/vms/{instance}/crash")

    def _ask(self, method: str, path: str) -> Any:
        connection = http.client.HTTPConnection("fleet", timeout=FLEET_SECONDS_MAX)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(FLEET_SECONDS_MAX)
        with contextlib.closing(connection):
            connection.sock.connect(str(self._path))
            connection.request(method, path)
            return json.loads(connection.getresponse().read())


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def is_ready(port: int) -> bool:
    """Whether a service's /readyz says so."""
    with contextlib.suppress(OSError):
        url = f"http://127.0.0.1:{port}/readyz"
        with urllib.request.urlopen(url, timeout=FLEET_SECONDS_MAX) as answer:
            return bool(answer.status == 200)
    return False
