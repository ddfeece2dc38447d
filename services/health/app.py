"""Health, wired: tables in, contacts and probes, statuses out, projection into Redis."""

from __future__ import annotations

import asyncio
import gc
import resource
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated

from pydantic import Field, TypeAdapter

from schemas.aliases import Alias
from schemas.events import InstanceStatusChanged, NodeStatusChanged
from schemas.instances import Instance
from schemas.nodes import Node
from schemas.topics import Topic
from services.chassis.bus import Bus
from services.chassis.endings import ended
from services.chassis.loops import repeat
from services.chassis.process import Process
from services.chassis.redis import Redis, connected
from services.chassis.tables import Tables
from services.chassis.tables_fold import TableSpec
from services.chassis.tables_owner import OwnedTables
from services.health.consumers import Ownership, health_consumers
from services.health.contact import Checker
from services.health.lateness import Lateness
from services.health.measures import Measures
from services.health.partition import Partition, StatusTable
from services.health.projection import PartitionProjection
from services.health.projection_redis import Identity, RedisPartition
from services.health.settings import HealthSettings
from services.health.watcher import Watcher, measure_lateness

LOOK_SECONDS = 1.0

_STATUS: TypeAdapter[InstanceStatusChanged | NodeStatusChanged] = TypeAdapter(
    Annotated[InstanceStatusChanged | NodeStatusChanged, Field(discriminator="kind")]
)
SPECS = (
    TableSpec(Topic.NODES, Node.model_validate_json),
    TableSpec(Topic.ALIASES, Alias.model_validate_json),
    TableSpec(Topic.INSTANCES, Instance.model_validate_json),
    TableSpec(Topic.STATUSES, _STATUS.validate_json),
)


class Health:
    """The service while it runs; tests look into it."""

    def __init__(
        self, process: Process[HealthSettings], bus: Bus, tables: Tables, redis: Redis
    ) -> None:
        settings = process.settings
        self.process = process
        self.tables = tables
        self.owned = OwnedTables(process, bus, tables, [Topic.STATUSES])
        self.measures = Measures(process.metrics)
        self.checker = Checker(
            process.clock,
            Lateness(settings.late_seconds_max),
            asyncio.Semaphore(settings.connecting_max),
            self.measures.probed,
        )
        self.watcher = Watcher(self.checker)
        self.ownership = Ownership(
            self.owned,
            tables,
            start=self._start,
            drain_seconds=settings.drain_seconds,
            changed=self._partitions_changed,
        )
        self.measures.owned = self.ownership.partitions
        self.measures.contacts.set_function(lambda: len(self.watcher))
        self.settled: Callable[[], object] = lambda: None  # After partitions have come or gone.
        self._redis = redis
        self._taken_over = process.readiness.require("partitions taken over")
        self._projected = process.readiness.require("projection written")
        self._projected.met()  # Until a step fails.
        tables.listen(self.ownership.heard)

    async def tend(self) -> None:
        for partition in list(self.ownership.partitions.values()):
            partition.tend()

    async def tell_projected(self) -> None:
        """Whether Redis takes what is projected, for whoever asks whether this is ready."""
        partitions = self.ownership.partitions.values()
        troubles = [one.projection.trouble for one in partitions if one.projection.trouble]
        self._projected.tell(next(iter(troubles), ""))

    async def close(self) -> None:
        await self.ownership.close()
        await self.watcher.close()

    def _start(self, number: int) -> Partition:
        clock = self.process.clock
        projection = PartitionProjection(
            self.tables,
            RedisPartition(number, self._redis, clock),
            identity=lambda: self._identity(number),
            clock=clock,
            rebuilt=lambda _: self.measures.rebuilds.inc(),
        )
        partition = Partition(
            number,
            self.tables,
            publishes=StatusTable(self.owned),
            projection=projection,
            watcher=self.watcher,
            measures=self.measures,
            clock=clock,
        )
        partition.start(self.process.watch)
        return partition

    def _identity(self, number: int) -> Identity:
        """NotOwner once the partition was lost."""
        log_id = self.tables.position(Topic.STATUSES, number).log
        return Identity(self.owned.term(number), log_id)

    def _partitions_changed(self, count: int) -> None:
        self.settled()
        self._taken_over.met(f"{count} partitions")


@asynccontextmanager
async def health(process: Process[HealthSettings]) -> AsyncIterator[Health]:
    """The whole service; `__main__.py` and the tests both enter here."""
    _raise_file_limit()
    settings, clock = process.settings, process.clock
    redis_timeout = settings.redis_timeout_seconds
    async with (
        connected(
            settings.redis_url, login=settings.redis_login, timeout_seconds=redis_timeout
        ) as redis,
        Bus(process) as bus,
        Tables(process, SPECS, bury=bus.bury) as tables,
    ):
        service = Health(process, bus, tables, redis)
        bus.attach(health_consumers(service.ownership))
        loops = [
            repeat("health.tending", service.tend, settings.tend_seconds, clock=clock),
            repeat("health.projected", service.tell_projected, LOOK_SECONDS, clock=clock),
            measure_lateness(service.checker, clock),
        ]
        tasks = [process.watch(loop, f"health loop {n}") for n, loop in enumerate(loops)]
        try:
            async with bus.consuming():
                yield service
                await service.close()
        finally:
            await ended(tasks)
            await service.close()
            await service.owned.close()


def _raise_file_limit() -> None:
    """One connection is kept per instance: take as many as the system allows us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@asynccontextmanager
async def wired(process: Process[HealthSettings]) -> AsyncIterator[None]:
    """As a process runs it, where nobody looks inside."""
    async with health(process) as service:
        service.settled = gc.freeze  # Of tables: they stay, and no collection need look at them.
        yield
