"""cellnode on a Kafka and a Redis that let in only whom they know, each service as itself."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import cellnode
from tests.certificates import Certificates, made_in
from tests.servers.secured import SecuredKafka, SecuredRedis, rights
from tests.servers.service import ServiceProcess

SERVICES = ("provisioner", "health", "api", "gateway")
HEALTHY_SECONDS_MAX = 60.0


class Secured:
    """Everything is up; settings of a service are what a container would be given."""

    def __init__(self, folder: Path, kafka: SecuredKafka, redis: SecuredRedis) -> None:
        self.folder, self.kafka, self.redis = folder, kafka, redis
        self.services: dict[str, ServiceProcess] = {}

    def settings_of(self, service: str) -> dict[str, str]:
        """The gateway is told nothing of Kafka, the provisioner nothing of Redis."""
        told = {"CELLNODE_DATA": str(self.folder / "data"), "KAFKA_SESSION_TIMEOUT_MS": "6000"}
        if service != "gateway":
            told |= self.kafka.settings_of(service)
        if service != "provisioner":
            told |= self.redis.settings_of(service)
        if "api" in self.services:
            told["CELLNODE_GATEWAY_API_URL"] = f"http://{self.services['api'].address}"
        return told

    def process(self, service: str, changes: Mapping[str, str] | None = None) -> ServiceProcess:
        """To be entered."""
        return ServiceProcess(service, {**self.settings_of(service), **(changes or {})})

    def connect(self) -> cellnode.Client:
        return cellnode.connect(f"http://{self.services['gateway'].address}")

    def deploy(self, name: str) -> Any:
        """A node that doubles, HEALTHY; what it makes of 21."""
        store = self.folder / "data" / "store"
        pinned = cellnode.pin("secured", namespace={"v": 1}, store=store, check=False).digest
        with self.connect() as client:
            node = client.deploy(
                name,
                pinned,
                cell="y = 2 * v",
                inputs=["v"],
                outputs=["y"],
                timeout_seconds=HEALTHY_SECONDS_MAX,
            )
            return node.call(v=21)

    def unready(self) -> dict[str, dict[str, str]]:
        """Who is not ready, and why."""
        return {
            name: one.conditions() or {name: "ended"}
            for name, one in self.services.items()
            if not one.is_ready()
        }

    def secrets(self) -> list[str]:
        """Every password that a service was told."""
        told = [self.settings_of(service) for service in SERVICES]
        return [value for one in told for name, value in one.items() if name.endswith("PASSWORD")]


@contextmanager
def secured(folder: Path) -> Iterator[Secured]:
    certificates: Certificates = made_in(folder)
    with ExitStack() as stack:
        redis = stack.enter_context(SecuredRedis(certificates))
        kafka = stack.enter_context(SecuredKafka(certificates))
        kafka.allow(*rights())
        site = Secured(folder, kafka, redis)
        stack.callback(_end_instances, folder)
        for service in SERVICES:
            site.services[service] = stack.enter_context(site.process(service))
        for one in site.services.values():
            one.until_ready()
        yield site


def _end_instances(folder: Path) -> None:
    """What `cellnode up` does at its end; these outlive their provisioner."""
    from cellnode.launcher.leftovers import end_instances

    if os.path.isdir(folder / "data" / "instances"):
        assert not end_instances(folder / "data" / "instances"), "an instance does not end"
