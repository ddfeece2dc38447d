"""The whole system on this machine, started inward-out and stopped outward-in.

What dies is started again; a broker comes back from its journal, under services started anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from cellnode.launcher.addresses import Addresses
from cellnode.launcher.child import (
    CALM_SECONDS,
    RESTART_SECONDS_FIRST,
    RESTART_SECONDS_MAX,
    in_words,
)
from cellnode.launcher.children import Children
from cellnode.launcher.given import without_login
from cellnode.launcher.leftovers import end_instances
from cellnode.launcher.options import Options
from cellnode.launcher.places import DataDirectory, DirectoryLock, UpFailed
from cellnode.launcher.programs import (
    ANNOTATIONS,
    Listener,
    ReservedPort,
    gateway_program,
    listen_in_time,
    service_program,
    services_wanted,
)
from cellnode.launcher.ready import wait_until_ready, watch_condition
from cellnode.launcher.stores import Stores

SERVICE_STOP_SECONDS = 1.5  # For what a gateway still answers, and for last records.
LISTEN_SECONDS_MAX = 3.0  # For the gateway of a killed `up`, which may just be ending.
BROKER_DEATHS_MAX = 5  # In a row; then coming back is of no use.
JOURNAL = "journal"  # The broker's condition that tells how its journal fares.


class Launcher:
    """Everything that `up` has started. `start`, then `wait`, then `stop`, in this order."""

    def __init__(self, options: Options, tell: Callable[[str], None]) -> None:
        self._directory = DataDirectory(options.data.expanduser().resolve())
        self._options = options
        self._tell = tell
        self._lock = DirectoryLock(self._directory)
        self._children = Children(self._directory.logs, tell)
        self._stores = Stores(options, self._directory, self._children)
        self._services = services_wanted()
        names = (*self._services, *(["broker"] if self._stores.has_own_broker else []))
        self._ports = {name: ReservedPort() for name in names}
        self._listener: Listener | None = None
        self._watching: asyncio.Future[None] | None = None

    @property
    def is_up(self) -> bool:
        """Whether there is something to stop."""
        return bool(self._children)

    @property
    def what_starts(self) -> str:
        """In words."""
        redis = "" if self._options.redis else "Redis, "
        kafka = "" if self._options.kafka else "a Kafka broker, "
        return f"{redis}{kafka}provisioner, health, api and gateway"

    async def start(self) -> Addresses:
        """Everything is up and ready, or UpFailed; then `stop` still has to be called."""
        self._directory.make()
        self._lock.take()
        was_killed = self._directory.addresses.exists()
        self._forget_addresses()
        patience_seconds = LISTEN_SECONDS_MAX if was_killed else 0.0
        self._listener = await listen_in_time(*self._options.gateway, patience_seconds)
        await self._stores.start(self._at("broker"))
        if self._stores.has_own_broker:
            told = watch_condition(self._at("broker"), JOURNAL, self._tell)
            self._watching = asyncio.ensure_future(told)
        await self._start_services(self._listener)
        return self._written(self._listener)

    async def wait(self, stopped: asyncio.Event) -> None:
        """Until told to stop; UpFailed if something cannot be kept running."""
        tasks = [
            asyncio.ensure_future(stopped.wait()),
            asyncio.ensure_future(self._children.keep_logs_small()),
        ]
        if self._stores.has_own_broker:
            tasks.append(asyncio.ensure_future(self._outlive_brokers()))
        try:
            await self._children.first_of(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def stop(self) -> None:
        """Gateway, services, instances, Redis and broker, in this order; specs stay."""
        if self._watching is not None:
            self._watching.cancel()
        await self._children.end("gateway", grace_seconds=SERVICE_STOP_SECONDS)
        await self._children.end(*self._services, grace_seconds=SERVICE_STOP_SECONDS)
        if self._lock.is_held and self.is_up:
            await asyncio.to_thread(self._end_instances)
        await self._stores.stop()
        for port in self._ports.values():
            port.release()
        if self._listener is not None:
            self._listener.socket.close()
        if self._lock.is_held:
            self._forget_addresses()
            self._lock.release()

    async def _start_services(self, listener: Listener) -> None:
        for name in self._services:
            await self._start_service(name)
        shared = self._stores.environment()
        await self._children.keep(
            gateway_program(self._directory, shared, listener, self._at("api"))
        )
        await self._until_ready()

    async def _start_service(self, name: str) -> None:
        shared = self._stores.environment()
        await self._children.keep(service_program(name, self._directory, shared, self._at(name)))

    async def _until_ready(self) -> None:
        """Annotations are not waited for: their Grafana may be away, and nothing depends on it."""
        addresses = self._operators_addresses().items()
        asked = {name: at for name, at in addresses if name not in ("broker", ANNOTATIONS)}
        ready = asyncio.ensure_future(wait_until_ready(self._children, asked))
        try:
            await self._children.first_of(ready)
        finally:
            ready.cancel()

    async def _outlive_brokers(self) -> None:
        """Each that ends is followed by another; UpFailed if they end too often."""
        loop, deaths = asyncio.get_running_loop(), 0
        while True:
            begun = loop.time()
            code = await self._children["broker"].ended()
            deaths = 1 if loop.time() - begun >= CALM_SECONDS else deaths + 1
            self._tell(
                f"the broker ended ({in_words(code)}); it is started again from its journal, and "
                f"the services with it; nodes go on answering. Log: {self._children['broker'].log}"
            )
            if deaths > BROKER_DEATHS_MAX:
                raise UpFailed(f"the broker ended {deaths} times in a row; everything is stopped")
            await self._begin_again(deaths)

    async def _begin_again(self, deaths: int) -> None:
        """The old services know what the new log does not, so none of them may go on."""
        await self._children.end(*self._services, grace_seconds=0)
        delay = min(RESTART_SECONDS_FIRST * 2 ** (deaths - 1), RESTART_SECONDS_MAX)
        await asyncio.sleep(delay)
        assert self._listener is not None
        await self._stores.start_broker(self._at("broker"))
        for name in self._services:
            await self._start_service(name)
        await self._until_ready()
        self._written(self._listener)
        self._tell(f"everything is ready again; Kafka is now at {self._stores.kafka}")

    def _end_instances(self) -> None:
        for process in end_instances(self._directory.instances):
            self._tell(f"process {process.pid} of an instance could not be ended")

    def _written(self, listener: Listener) -> Addresses:
        """Told to whoever waits for the file."""
        addresses = Addresses(
            gateway=f"http://{listener.address}",
            api=f"http://{self._at('api')}",
            kafka=self._stores.kafka,
            redis=without_login(self._stores.redis),
            data=str(self._directory.root),
            services=self._operators_addresses(),
        )
        addresses.write(self._directory.addresses, self._directory.scraping)
        return addresses

    def _forget_addresses(self) -> None:
        """They are told exactly while everything is ready."""
        for file in (self._directory.addresses, self._directory.scraping):
            file.unlink(missing_ok=True)

    def _at(self, name: str) -> str:
        return self._ports[name].address if name in self._ports else ""

    def _operators_addresses(self) -> dict[str, str]:
        """Where each service answers /livez, /readyz and /metrics."""
        own = {name: port.address for name, port in self._ports.items()}
        return own | ({"gateway": self._listener.address} if self._listener else {})
