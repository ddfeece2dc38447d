"""A member that was killed is followed by another within a few seconds, on the embedded broker."""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from pathlib import Path

ROOT = Path(__file__).parents[3]
SECONDS_MAX = 15.0  # The session is 3 s and a start about 1 s; the rest is for a busy machine.
MEMBER = """
import asyncio, sys
from services.chassis.bus import Consumers
from services.chassis.telemetry import set_up
from tests.services.chassis.folding import HOME, NODES, folding

set_up("member")

async def main():
    async with folding(sys.argv[1]) as one:
        one.bus.attach(Consumers(NODES, "health", one.owned))
        async with one.bus.consuming():
            await one.bus.joined()
            print(one.owned.term(HOME), flush=True)
            await asyncio.sleep(60)

asyncio.run(main())
"""


async def a_member(kafka: str) -> Process:
    command = [sys.executable, "-P", "-c", MEMBER, kafka]
    env = {"PYTHONPATH": str(ROOT)}
    return await asyncio.create_subprocess_exec(*command, env=env, stdout=PIPE, stderr=DEVNULL)


async def term_of(member: Process) -> int:
    """The term that it took over with, once it did."""
    assert member.stdout is not None
    return int(await asyncio.wait_for(member.stdout.readline(), SECONDS_MAX))


async def test_a_killed_owner_is_followed_by_the_next(kafka: str) -> None:
    """E5: a later join waits for the session of who did not leave; so sessions are short there."""
    terms, took_seconds = [], []
    for _ in range(2):
        began, member = time.monotonic(), await a_member(kafka)
        try:
            terms.append(await term_of(member))
            took_seconds.append(time.monotonic() - began)
        finally:
            member.kill()
            await member.wait()
    assert terms == [1, 2]
    assert max(took_seconds) < SECONDS_MAX
