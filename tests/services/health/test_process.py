"""Health as a process: started as it is in earnest, killed, asked over HTTP, stopped."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.health.scenes import PROBE, START, Agents, Until, a_pair
from tests.services.health.world import created, following, wishes
from tests.sources import ROOT


class HealthProcess:
    """`python -P -m services.health` with its log in a file."""

    def __init__(self, kafka: str, redis_url: str, log: Path, **changes: str) -> None:
        self.log = log
        env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "KAFKA_FETCH_MAX_WAIT_MS": "20",
            "KAFKA_SESSION_TIMEOUT_MS": "3000",
            "REDIS_URL": redis_url,
            "CELLNODE_CREATE_TOPICS": "false",
            **changes,
        }
        command = [sys.executable, "-P", "-m", "services.health"]
        with log.open("ab") as errors:
            self.process = subprocess.Popen(command, env=env, stderr=errors)

    def lines(self) -> list[dict[str, str]]:
        text = self.log.read_text() if self.log.exists() else ""
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def get(self, path: str) -> str:
        (address,) = [line["address"] for line in self.lines() if line["event"] == "listening"][-1:]
        with urllib.request.urlopen(f"http://{address}{path}", timeout=5) as answer:
            text: str = answer.read().decode()
        return text

    def passed(self) -> int:
        """Probes that found an instance ready."""
        name = 'cellnode_health_probes_total{outcome="PASSED"}'
        lines = [line for line in self.get("/metrics").splitlines() if line.startswith(name)]
        return int(float(lines[0].split()[1])) if lines else 0

    def is_up(self) -> bool:
        return "partitions taken over" in self.log.read_text()

    def end(self) -> int:
        self.process.kill()
        return self.process.wait()


@pytest.fixture
def process(kafka: str, redis_url: str, tmp_path: Path) -> Iterator[HealthProcess]:
    running = HealthProcess(kafka, redis_url, tmp_path / "log")
    yield running
    running.end()


async def test_it_works_says_how_it_is_and_stops_in_order(
    kafka: str, process: HealthProcess, agents: Agents, until: Until
) -> None:
    await until(process.is_up, 20)
    node, fact = a_pair()
    async with wishes(kafka) as tell, following(kafka) as follower:
        agent = agents(fact.instance)
        await tell.put(node, fact, created(fact, agent.endpoint))
        agent.ready()
        await until(lambda: follower.is_now(node.key, "HEALTHY"))
        assert follower.statuses(fact.instance) == START

    assert json.loads(process.get("/readyz"))["ready"] is True
    metrics = process.get("/metrics")
    change = '{from="PREPARING",kind="instance",reason="READY",to="HEALTHY"}'
    assert f"cellnode_health_status_changes_total{change} 1.0\n" in metrics
    assert "cellnode_health_illegal_moves_total 0" in metrics
    process.process.send_signal(signal.SIGTERM)
    await until(lambda: process.process.poll() is not None, 5)
    assert process.process.returncode == 0


async def test_killed_and_started_again_it_makes_nothing_up(
    kafka: str, redis_url: str, process: HealthProcess, agents: Agents, until: Until, tmp_path: Path
) -> None:
    await until(process.is_up, 20)
    node, fact = a_pair()
    async with wishes(kafka) as tell, following(kafka) as follower:
        agent = agents(fact.instance)
        await tell.put(node, fact, created(fact, agent.endpoint))
        agent.ready()
        await until(lambda: follower.is_now(node.key, "HEALTHY"))
        told = len(follower.events)
        process.end()
        again = HealthProcess(kafka, redis_url, tmp_path / "again")
        try:
            await until(again.is_up, 20)
            agent.signal(signal.SIGKILL)
            await until(lambda: follower.is_now(node.key, "UNHEALTHY"))
        finally:
            again.end()

    assert {event.status.value for event in follower.events[told:]} == {"UNHEALTHY"}


@pytest.mark.full
async def test_a_checker_that_stood_still_accuses_nobody(
    kafka: str, process: HealthProcess, agents: Agents, until: Until
) -> None:
    """All its probes are late when it goes on; that is not the instances' fault."""
    await until(process.is_up, 20)
    node, fact = a_pair(probe={**PROBE, "fails": 1})
    async with wishes(kafka) as tell, following(kafka) as follower:
        agent = agents(fact.instance)
        await tell.put(node, fact, created(fact, agent.endpoint))
        agent.ready()
        await until(lambda: follower.is_now(node.key, "HEALTHY"))
        agent.tell(delay=0.1)  # So that a probe is under way whenever health is stopped.
        passed = process.passed()
        for _ in range(4):
            process.process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(0.7)
            process.process.send_signal(signal.SIGCONT)
            await asyncio.sleep(0.15)
        await until(lambda: process.passed() >= passed + 3)

    assert follower.statuses(fact.instance) == START


def test_a_misspelt_setting_stops_the_start(tmp_path: Path) -> None:
    misspelt = {"CELLNODE_HEALTH_DRAIN_SECOND": "1"}
    process = HealthProcess("127.0.0.1:1", "redis://127.0.0.1:1/0", tmp_path / "log", **misspelt)

    assert process.process.wait(20) == 2
    assert "CELLNODE_HEALTH_DRAIN_SECONDS" in (tmp_path / "log").read_text()
