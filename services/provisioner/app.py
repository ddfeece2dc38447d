"""The provisioner, wired."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from schemas.topics import Topic
from services.chassis.bus import Bus
from services.chassis.clock import Clock
from services.chassis.endings import ended
from services.chassis.loops import repeat
from services.chassis.process import Process
from services.chassis.tables import Tables
from services.chassis.tables_owner import OwnedTables
from services.provisioner.book import SPECS, WRITTEN, Book
from services.provisioner.consumers import CommandDesk, provisioner_consumers
from services.provisioner.measures import Measures
from services.provisioner.metering import Metering
from services.provisioner.ownership import Ownership
from services.provisioner.providers import Provider
from services.provisioner.providers.local import LocalProvider
from services.provisioner.reconciler import Reconciler
from services.provisioner.settings import ProvisionerSettings
from services.provisioner.sweeper import Sweeper

TIDY_SECONDS = 60.0

ProviderOf = Callable[[Process[ProvisionerSettings]], Provider]


def local(process: Process[ProvisionerSettings]) -> Provider:
    return LocalProvider(process.settings.local(), process.clock)


@asynccontextmanager
async def provisioner(
    process: Process[ProvisionerSettings], provider_of: ProviderOf = local
) -> AsyncIterator[None]:
    """The whole service. Leaving it stops the commands first, then the loops; VMs live on."""
    settings, clock = process.settings, process.clock
    measures = Measures(process.metrics)
    ready = process.readiness.require("tables")
    async with Bus(process) as bus, Tables(process, SPECS, bury=bus.bury) as tables:
        owned = OwnedTables(process, bus, tables, WRITTEN)
        book = Book(tables, owned, settings.kafka_session_timeout_ms / 1000, clock)
        provider = provider_of(process)
        metering = Metering(process, book, provider, bus.publish, measures=measures)
        owned.after_take_over(metering.taken_over)
        reconciler = Reconciler(
            book,
            provider,
            settings,
            meter=metering,
            commands_at_hand=lambda place: bus.waiting(Topic.COMMANDS, bus.partition_of(place)),
            clock=clock,
            measures=measures,
        )
        provider.on_exit = reconciler.actor.exited
        types = settings.instance_types
        desk = CommandDesk(
            book, reconciler.wake, instance_types=types, clock=clock, measures=measures
        )
        sweeper = Sweeper(book, provider, settings.unknown_after_seconds, clock)
        ownership = Ownership(owned, book, reconciler)
        bus.attach(provisioner_consumers(desk, ownership))
        measures.count_instances = book.count
        measures.count_partitions = lambda: len(book.partitions)
        tasks = [
            process.watch(reconciler.run(), "provisioner.reconcile"),
            process.watch(sweeper.run(), "provisioner.sweep"),
            process.watch(metering.run(), "provisioner.meter"),
            process.watch(_tidying(provider, clock), "provisioner.tidy"),
            asyncio.create_task(provider.warm_up(), name="provisioner.warm-up"),
        ]
        try:
            async with bus.consuming(), metering.told_at_the_end():
                await bus.joined()
                ready.met("commands are taken, tables are read")
                yield
        finally:
            await ended(tasks)
            await provider.close()
            await owned.close()


def _tidying(provider: Provider, clock: Clock) -> Coroutine[Any, Any, None]:
    return repeat("provisioner.tidy", provider.tidy, TIDY_SECONDS, clock=clock)
