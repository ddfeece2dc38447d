"""A process: its listener, its signals, its exit codes; liveness asks nobody."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession

from services.chassis.process import EXIT_FAILED, EXIT_SETTINGS, EXIT_STOPPED, EXIT_STUCK

ROOT = Path(__file__).parents[3]
SERVICE = """
import asyncio
from contextlib import asynccontextmanager
from services.chassis.process import run
from services.chassis.settings import Settings

class ProbeSettings(Settings):
    mood: str = "well"

@asynccontextmanager
async def wired(process):
    ready = process.readiness.require("bus")
    process.metrics.counter("turns", "Turns taken").inc()
    if process.settings.mood == "fails":
        raise OSError("no such luck")
    if process.settings.mood == "slow":
        await asyncio.sleep(60)
    if process.settings.mood == "ready":
        ready.met("Kafka was reached")
    if process.settings.mood == "broken":
        async def broken(): raise KeyError("task")
        process.watch(broken(), "loop")
    yield
    if process.settings.mood == "stuck":
        await asyncio.sleep(60)

run("health", ProbeSettings, wired)
"""


class Running:
    """A service's process, and what it logged so far."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []

    async def logged(self, event: str) -> dict[str, Any]:
        assert self.process.stderr is not None
        while True:
            line = await asyncio.wait_for(self.process.stderr.readline(), 10)
            assert line, f"{event} was not logged"
            self.lines.append(json.loads(line))
            if self.lines[-1]["event"] == event:
                return self.lines[-1]

    async def ended(self) -> int:
        return await asyncio.wait_for(self.process.wait(), 10)


@asynccontextmanager
async def service(mood: str, **env: str) -> AsyncIterator[Running]:
    given = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "CELLNODE_HEALTH_MOOD": mood}
    command = [sys.executable, "-P", "-c", SERVICE]
    process = await asyncio.create_subprocess_exec(*command, env={**given, **env}, stderr=PIPE)
    try:
        yield Running(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def asked(address: str, path: str) -> tuple[int, str]:
    async with ClientSession() as session, session.get(f"http://{address}{path}") as answer:
        return answer.status, await answer.text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_it_in_order(number: int) -> None:
    async with service("ready") as running:
        await running.logged("started")
        running.process.send_signal(number)
        assert (await running.logged("stopped"))["failed"] is False
        assert await running.ended() == EXIT_STOPPED


async def test_it_is_live_without_kafka_and_says_what_it_waits_for() -> None:
    async with service("well") as running:
        address = (await running.logged("listening"))["address"]
        await running.logged("started")
        assert (await asked(address, "/livez"))[0] == 200
        status, body = await asked(address, "/readyz")
    assert status == 503
    conditions = {one["name"]: one["met"] for one in json.loads(body)["conditions"]}
    assert conditions == {"started": True, "bus": False}


async def test_it_is_ready_when_every_condition_is_met_and_shows_its_metrics() -> None:
    async with service("ready") as running:
        address = (await running.logged("listening"))["address"]
        await running.logged("started")
        assert (await asked(address, "/readyz"))[0] == 200
        metrics = (await asked(address, "/metrics"))[1]
    assert "cellnode_health_turns_total 1.0" in metrics
    assert "process_resident_memory_bytes" in metrics


@pytest.mark.parametrize("mood", ["fails", "broken"])
async def test_a_failure_ends_it_so_that_it_is_started_anew(mood: str) -> None:
    async with service(mood) as running:
        assert await running.ended() == EXIT_FAILED


async def test_a_start_under_way_can_be_stopped() -> None:
    async with service("slow") as running:
        await running.logged("listening")
        running.process.terminate()
        assert await running.ended() == EXIT_STOPPED


async def test_what_does_not_stop_in_time_is_cut_off() -> None:
    async with service("stuck", CELLNODE_HEALTH_STOP_TIMEOUT_SECONDS="0.2") as running:
        await running.logged("started")
        running.process.terminate()
        await running.logged("did not stop in time")
        assert await running.ended() == EXIT_STUCK


async def test_a_misspelt_setting_is_not_worth_another_start() -> None:
    async with service("well", CELLNODE_HEALTH_MODE="well") as running:
        assert await running.ended() == EXIT_SETTINGS
        assert running.process.stderr is not None
        told = (await running.process.stderr.read()).decode()
    assert "CELLNODE_HEALTH_MODE is not a setting; did you mean CELLNODE_HEALTH_MOOD?" in told
