"""Agents that are processes, killed at the end of a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.health.scenes import Agents
from tests.services.health.world import AgentProcess


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[Agents]:
    """Start agents as processes; they are killed at the end."""
    started: list[AgentProcess] = []

    def start(instance: str) -> AgentProcess:
        started.append(AgentProcess(tmp_path / f"{len(started)}.s", instance))
        return started[-1]

    yield start
    for agent in started:
        agent.end()
