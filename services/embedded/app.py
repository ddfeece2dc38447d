"""The embedded broker's process, wired: listen, tell the address, wait."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from schemas.topics import Topic
from services.chassis.process import Process
from services.chassis.telemetry import logger
from services.embedded.broker import EmbeddedBroker
from services.embedded.settings import EmbeddedSettings

log = logger("embedded")


@asynccontextmanager
async def embedded(process: Process[EmbeddedSettings]) -> AsyncIterator[None]:
    """A broker with every declared topic, for as long as this is entered."""
    topics = [topic.value for topic in Topic]
    with EmbeddedBroker(topics, process.settings.cellnode_partitions) as broker:
        log.info("broker listens", address=broker.address, topics=len(topics))
        if process.settings.address_file is not None:
            write_atomically(process.settings.address_file, broker.address + "\n")
        yield


def write_atomically(path: Path, text: str) -> None:
    """A reader sees the whole text or no file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_text(text)
    unfinished.replace(path)
