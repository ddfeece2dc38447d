"""Apache Kafka in KRaft mode, one process that is broker and controller, from `.servers/kafka`."""

from __future__ import annotations

import base64
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import uuid4

from tests.servers.process import (
    LOOPBACK,
    NotInstalled,
    NotReady,
    ServerProcess,
    free_port,
    listens,
)
from tests.sources import ROOT

JARS = ROOT / ".servers" / "kafka"
JAVA_OPTIONS = (
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)
FORMAT_SECONDS_MAX = 60.0

# For one broker that lives minutes: no replicas, few threads, groups that come together at once.
SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "2",
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "500",
    "broker.session.timeout.ms": "4000",
    "broker.heartbeat.interval.ms": "500",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "log.cleaner.threads": "1",
    "log.cleaner.dedupe.buffer.size": "8388608",
    "log.segment.delete.delay.ms": "1000",
}


class ApacheKafka(ServerProcess):
    """`with ApacheKafka() as kafka: kafka.address`. Killed and started again it keeps its log."""

    name = "kafka"
    ready_line = "Kafka Server started"
    start_seconds_max = 60.0

    def __init__(
        self,
        settings: Mapping[str, str] | None = None,
        *,
        protocol: str = "PLAINTEXT",
        format_arguments: Sequence[str] = (),
    ) -> None:
        """Settings of the broker come on top; the protocol is that of its one listener."""
        if reason := missing():
            raise NotInstalled(reason)
        super().__init__()
        self.port, self._controller_port = free_port(), free_port()
        self._protocol = protocol
        self._format_arguments = tuple(format_arguments)
        self._settings = {**SETTINGS, **(settings or {})}

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.port}"

    @property
    def properties(self) -> Path:
        """The broker's file of settings."""
        return self.directory / "server.properties"

    def command(self) -> list[str]:
        return _java("kafka.Kafka", str(self.properties))

    def answers(self) -> bool:
        return listens(self.port)

    def start(self) -> None:
        if not self.properties.exists():
            self._write_settings()
            self._format()
        super().start()

    def _write_settings(self) -> None:
        controller = f"{LOOPBACK}:{self._controller_port}"
        where = {
            "listeners": f"{self._protocol}://{self.address},CONTROLLER://{controller}",
            "advertised.listeners": f"{self._protocol}://{self.address}",
            "inter.broker.listener.name": self._protocol,
            "listener.security.protocol.map": (
                f"{self._protocol}:{self._protocol},CONTROLLER:PLAINTEXT"
            ),
            "controller.quorum.voters": f"1@{controller}",
            "log.dirs": str(self.directory / "data"),
        }
        lines = [f"{name}={value}\n" for name, value in {**where, **self._settings}.items()]
        self.properties.write_text("".join(lines))

    def _format(self) -> None:
        cluster = base64.urlsafe_b64encode(b"cn" + uuid4().bytes[2:]).decode().rstrip("=")
        tool = _java("kafka.tools.StorageTool", "format", "-t", cluster)
        said = subprocess.run(
            [*tool, "-c", str(self.properties), *self._format_arguments],
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=FORMAT_SECONDS_MAX,
            check=False,
        )
        if said.returncode != 0:
            raise NotReady(f"Kafka's directory cannot be formatted: {said.stdout}{said.stderr}")


def missing() -> str | None:
    """What Apache Kafka needs and is not here, as a sentence; None when all is here."""
    if shutil.which("java") is None:
        return "no java on this machine; `make test-kafka` installs default-jre-headless"
    if not (JARS / "ready").exists():
        return "Apache Kafka's jars are not in .servers/kafka; `make test-kafka` fetches them"
    return None


def _java(main: str, *arguments: str) -> list[str]:
    return ["java", *JAVA_OPTIONS, "-cp", f"{JARS}/*", main, *arguments]
