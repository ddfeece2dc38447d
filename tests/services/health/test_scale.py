"""A thousand nodes of ten instances: probed by one process, projected anew.

What it costs is printed, not asserted: a busy machine is no fault of the code.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from schemas.instances import Instance
from schemas.nodes import Node
from services.chassis.clock import SYSTEM_CLOCK
from services.health.contact import Checker
from services.health.lateness import Lateness
from services.health.nodes import observe_node
from services.health.verdict import Outcome
from services.health.watcher import Watcher
from tests.builders import NOON, a_node
from tests.schemas.test_evolution import running as a_running_instance
from tests.services.health.projecting import FedTables, Reader, RedisServer, running
from tests.services.health.scenes import Until, a_pair
from tests.services.health.test_nodes import S, an_event
from tests.services.health.test_watcher import SmallDesk
from tests.services.health.world import created

pytestmark = pytest.mark.full
AGENTS = Path(__file__).with_name("many_agents.py")
NODES, PER_NODE = 1_000, 10
PROBED, PROBE_SECONDS, ROUNDS = 2_000, 1.0, 5  # As many a second as 10,000 in 5 s.
REBUILD_SECONDS_MAX = 30.0


def a_big_table() -> FedTables:
    """Every instance HEALTHY, with the history of its start."""
    tables, history = FedTables(), a_running_instance().transitions
    for number in range(1, NODES + 1):
        node = a_node(f"node-{number}", instances={"min": 1, "want": PER_NODE})
        node = node.model_copy(update={"uid": UUID(int=number << 96)})
        made = [an_event(node, n + 1, S.HEALTHY, transitions=history) for n in range(PER_NODE)]
        event = observe_node(node, {one.instance: one for one in made}, None, NOON)
        assert event is not None
        for seq, record in enumerate([node, *made, event]):
            tables.put(record, seq + 1)
    return tables


async def test_ten_thousand_instances_are_projected_anew(tmp_path: Path) -> None:
    tables, server = a_big_table(), RedisServer(tmp_path)
    server.start()
    reader = Reader(server.url)
    try:
        async with running(tables, server.url):
            began = time.monotonic()
            await reader.equals(tables, REBUILD_SECONDS_MAX)
            await reader.redis.command("FLUSHALL")
            await reader.equals(tables, REBUILD_SECONDS_MAX)
            sys.stdout.write(f"rebuilt twice in {time.monotonic() - began:.2f} s\n")
    finally:
        await reader.redis.close()
        server.kill()


@pytest.fixture
def many(tmp_path: Path) -> Iterator[tuple[Node, list[Instance]]]:
    probe = {"interval_seconds": PROBE_SECONDS, "timeout_seconds": 1.0}
    node, _ = a_pair(probe=probe)
    facts = [created(a_pair(n)[1], f"unix:{tmp_path}/{n}") for n in range(1, PROBED + 1)]
    lines = "".join(f"{fact.instance} {fact.endpoint[5:]}\n" for fact in facts if fact.endpoint)
    command = [sys.executable, str(AGENTS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as agents:
        assert agents.stdin is not None
        assert agents.stdout is not None
        agents.stdin.write(lines.encode())
        agents.stdin.close()
        assert agents.stdout.readline() == b"ready\n"
        yield node, facts
        agents.kill()


async def test_two_thousand_instances_are_probed_by_one_process(
    many: tuple[Node, list[Instance]], until: Until
) -> None:
    node, facts = many
    found: Counter[Outcome] = Counter()
    checker = Checker(
        SYSTEM_CLOCK, Lateness(), asyncio.Semaphore(64), lambda outcome, *_: found.update([outcome])
    )
    watcher, desk = Watcher(checker), SmallDesk(node.spec, *facts)
    for fact in facts:
        watcher.keep(fact, desk)
    await until(lambda: all(map(desk.is_healthy, facts)), 30)
    await asyncio.sleep(PROBE_SECONDS)
    found.clear()
    began, used = time.monotonic(), time.process_time()
    await until(lambda: found[Outcome.PASSED] >= ROUNDS * PROBED, 40)
    share = (time.process_time() - used) / (time.monotonic() - began)
    rate = found[Outcome.PASSED] / (time.monotonic() - began)
    await watcher.close()
    sys.stdout.write(f"{rate:.0f} probes a second use {share:.0%} of a core\n")

    assert found.keys() <= {Outcome.PASSED, Outcome.NOTHING}  # Late itself, it accuses nobody.
