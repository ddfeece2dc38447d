"""`cellnode up --kafka ADDRESS --redis URL`: the same services, on servers that run elsewhere."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping

from tests.e2e.system import System
from tests.servers import ApacheKafka, RedisServer
from tests.servers.topics import remove_topics


class GivenSystem(System):
    """A system whose bus and Redis outlive it; they are emptied before it starts."""

    def __init__(
        self,
        kafka: ApacheKafka,
        redis: RedisServer,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(environment, ["--kafka", kafka.address, "--redis", redis.url])
        self.kafka_server, self.redis_server = kafka, redis
        asyncio.run(remove_topics(kafka.address))
        redis.ask("FLUSHALL")

    def service_pid(self, service: str) -> int:
        servers = {"redis": self.redis_server, "broker": self.kafka_server}
        if service in servers:
            return servers[service].pid
        return super().service_pid(service)

    def kill_service(self, service: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Who runs a Redis brings it back, here without what it knew."""
        pid = self.service_pid(service)
        if service == "redis" and number in (signal.SIGKILL, signal.SIGTERM):
            self.redis_server.restart_empty()
            return pid
        return super().kill_service(service, number)

    def restart_broker(self) -> None:
        """SIGKILL; it comes back at the same address with what is on its disk."""
        self.kafka_server.restart()
        self.until_ready()

    def kill(self) -> None:
        raise NotImplementedError("the servers are not the launcher's, so they do not end with it")
