"""Outside programs as a user runs them, and all that lies on the bus, as anyone may read it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

from aiokafka import AIOKafkaConsumer

from schemas.topics import Topic
from tests.e2e.bus import Json
from tests.sources import ROOT

PROGRAM = ROOT / "examples" / "follow_statuses.py"
PROGRAM_SECONDS_MAX = 60.0
READ_SECONDS_MAX = 60.0
POLL_MS = 500


def statuses_by_the_example(kafka: str) -> dict[str, Json]:
    """What `examples/follow_statuses.py` knows after it has read the topic once."""
    command = [sys.executable, str(PROGRAM), kafka, "--once", "--json"]
    ran = subprocess.run(
        command, capture_output=True, text=True, timeout=PROGRAM_SECONDS_MAX, check=False
    )
    assert ran.returncode == 0, ran.stderr
    return dict(json.loads(ran.stdout))


def everything_on(kafka: str) -> list[Any]:
    """Every record of every topic of ours that is there now."""
    return asyncio.run(asyncio.wait_for(_everything_on(kafka), READ_SECONDS_MAX))


async def _everything_on(kafka: str) -> list[Any]:
    topics, found = [topic.value for topic in Topic], list[Any]()
    consumer = AIOKafkaConsumer(*topics, bootstrap_servers=kafka, auto_offset_reset="earliest")
    async with consumer:
        ends = await consumer.end_offsets(consumer.assignment())
        while any([await consumer.position(place) < end for place, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
                found += records
    return found
