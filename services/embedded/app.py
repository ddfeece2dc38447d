"""The embedded broker's process, wired: listen, bring back what was, tell the address, wait."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from schemas.topics import Topic
from services.chassis.process import Process
from services.chassis.telemetry import logger
from services.embedded.broker import EmbeddedBroker
from services.embedded.journal import Journal, Troubles
from services.embedded.journal_bus import JournalBus
from services.embedded.journal_file import JournalFile
from services.embedded.journal_restore import Host
from services.embedded.settings import EmbeddedSettings

log = logger("embedded")


@asynccontextmanager
async def embedded(process: Process[EmbeddedSettings]) -> AsyncIterator[None]:
    """A broker with every declared topic, and with what its journal knows, while entered."""
    settings = process.settings
    topics = [topic.value for topic in Topic]
    with EmbeddedBroker(topics, settings.cellnode_partitions) as broker:
        async with _journalled(process, broker.address):
            log.info("broker listens", address=broker.address, topics=len(topics))
            if settings.address_file is not None:
                write_atomically(settings.address_file, broker.address + "\n")
            yield


@asynccontextmanager
async def _journalled(process: Process[EmbeddedSettings], address: str) -> AsyncIterator[None]:
    """What was known is there before anybody is told the address; the rest is kept from then on.

    The journal runs in the broker's own process: there is nothing to keep without the broker,
    and whoever ends one of them ends both.
    """
    settings = process.settings
    if settings.journal is None:
        yield
        return
    condition = process.readiness.require("journal")
    partitions = settings.cellnode_partitions
    with JournalFile(settings.journal) as file, JournalBus(address, partitions) as bus:
        journal = Journal(file, bus, Troubles(well=condition.met, ill=condition.unmet))
        host = Host(settings.cellnode_data / "instances")
        await asyncio.to_thread(journal.bring_back, host, partitions)
        recording = asyncio.create_task(asyncio.to_thread(journal.record), name="journal")
        recording.add_done_callback(lambda done: _failed(process, done))
        try:
            yield
        finally:
            journal.stop()
            await recording


def _failed(process: Process[EmbeddedSettings], recording: asyncio.Task[None]) -> None:
    """Without its journal the process is of no use: it is started anew from what is written."""
    if not recording.cancelled() and (error := recording.exception()) is not None:
        process.stop(error)


def write_atomically(path: Path, text: str) -> None:
    """A reader sees the whole text or no file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(text)
    unfinished.replace(path)
