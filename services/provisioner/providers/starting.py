"""The start of a detached process tree, and what its keeper leaves word of."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from schemas.instances import Exit
from services.chassis.clock import Clock
from services.provisioner.providers.directories import InstanceDirectory
from services.provisioner.providers.processes import Process, inside, look_at

# The folder that holds `services`, `schemas` and `runtime`.
PACKAGES = Path(__file__).resolve().parents[3]
AGENT_SECONDS_MAX = 10.0  # From the start of the keeper until its agent is there.
EXIT_SECONDS_MAX = 1.0  # From the end of an agent until its keeper has told how.
CLEAN_UP_SECONDS_MAX = 3.0  # Before that the keeper ends what a cell has left behind.
PAUSE_SECONDS = 0.002
_SIGNALS = (signal.SIGPIPE, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def spawn(directory: InstanceDirectory, environment: Mapping[str, str]) -> int:
    """Start the keeper, detached: a session, a log and no terminal of its own; it outlives us."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawn(
        sys.executable,
        [sys.executable, "-P", "-m", "runtime", str(directory.path)],
        {**environment, "PYTHONPATH": str(PACKAGES)},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(directory.log), flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigdef=_SIGNALS,
    )


async def agent_of(directory: InstanceDirectory, keeper: int, clock: Clock) -> Process | None:
    """The agent, as soon as its keeper has written it down; None if it never came."""
    deadline = clock.monotonic() + AGENT_SECONDS_MAX
    while clock.monotonic() < deadline:
        # Looked at before: what is written meanwhile must not look like an agent that has ended.
        is_over = directory.has_agent() or look_at(keeper) is None
        if (agent := directory.agent()) is not None:
            return agent
        if is_over:
            return None
        await clock.sleep(PAUSE_SECONDS)
    return None


async def told_exit(directory: InstanceDirectory, agent: Process, clock: Clock) -> Exit:
    """How the agent ended: its keeper, which leads its session, writes it down within
    milliseconds, unless it was killed as well."""
    deadline = clock.monotonic() + EXIT_SECONDS_MAX
    while look_at(agent.session) is not None and clock.monotonic() < deadline:
        if directory.has_exit():
            break
        await clock.sleep(PAUSE_SECONDS)
    return directory.exit(clock.now())


async def exit_known(directory: InstanceDirectory, clock: Clock) -> None:
    """Return when nobody is left who could write down how the agent ended, or it stands there."""
    deadline = clock.monotonic() + CLEAN_UP_SECONDS_MAX
    while not directory.has_exit() and clock.monotonic() < deadline:
        if not await asyncio.to_thread(inside, directory.path):
            return
        await clock.sleep(PAUSE_SECONDS)
