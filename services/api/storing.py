"""The store while the api lives: opened, tidied now and then, closed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from services.api.problems import ApiProblem
from services.api.settings import ApiSettings
from services.api.store import Store
from services.chassis.endings import ended
from services.chassis.loops import repeat
from services.chassis.process import Process
from services.chassis.telemetry import logger

log = logger("api.store")


@asynccontextmanager
async def storing(process: Process[ApiSettings]) -> AsyncIterator[Store]:
    """The store of this process; what nobody will come back for is collected meanwhile."""
    settings, clock = process.settings, process.clock
    store = Store(settings.cellnode_store, clock)

    async def collect() -> None:
        now = clock.now()
        uploads_since = now - timedelta(seconds=settings.uploads_kept_seconds)
        wanted_since = now - timedelta(seconds=settings.blobs_kept_seconds)
        try:
            found = await store.collect(uploads_since, wanted_since)
        except ApiProblem as problem:
            log.warning("the store cannot be tidied", error=problem.detail)
            return
        if found.uploads or found.leftovers or found.freed_bytes:
            log.info("store tidied", uploads=found.uploads, freed_bytes=found.freed_bytes)

    tidying = repeat("api.store", collect, settings.collect_seconds, clock=clock)
    task = process.watch(tidying, "api.store")
    try:
        yield store
    finally:
        await ended([task])
        store.close()
