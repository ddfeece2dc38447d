"""The projection: 100,000 events rebuilt, and Redis lost in every way, each time equal to the fold.

On Apache Kafka and Debian's Redis, with a real health process that probes every instance meanwhile.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from benchmarks.chaos_projection_stage import PROBE_SECONDS, Stage
from benchmarks.parts import say
from benchmarks.rows import Row, finish
from schemas.topics import Topic
from services.chassis.telemetry import set_up

NODES, PER_NODE, EVENTS = 1_000, 10, 100_000
REBUILD_SECONDS, FLUSH_SECONDS = 10.0, 5.0
CORRECT_SECONDS_MAX = 60.0
CUTS_AT = (0.1, 0.5, 0.9)  # Of what a whole rebuild sends.
CHANGED = 200  # Nodes that are scaled while Redis is away or old.
TOLD_MAX = 5
CHANGING_SECONDS = 0.5
PROBED_SECONDS = 10.0
PROBED_SHARE = 0.9  # Of one probe an instance every interval.


@dataclass
class Found:
    """How long each loss took to be mended, and what was then not as the topics say."""

    seconds: dict[str, float] = field(default_factory=dict)
    differences: dict[str, list[str]] = field(default_factory=dict)


class Losses:
    """Redis is lost in each way in turn; the names are those of the rows."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._written = 0
        self.found = Found()

    def taken_over(self) -> None:
        """By a process that starts with nothing, into a Redis that is empty."""
        self._mended("rebuild", self._stage.start_health)

    def taken_over_again(self) -> None:
        """By its successor; what happened in between is in no Redis yet."""
        self._stage.health.stop()
        self._change()
        self._mended("successor", self._stage.start_health)

    def flushed(self) -> None:
        self._mended("flush", lambda: self._ask("FLUSHALL"))

    def failed_over(self) -> None:
        """To a replica that was behind: what happened since then is not in it."""
        dump = self._stage.redis.save(self._stage.directory / "older.rdb")
        self._change()
        self._settled()

        def fail_over() -> float:
            self._stage.redis.restart_from(dump)
            return time.monotonic()

        self._mended("old_snapshot", fail_over)

    def scripts_lost(self) -> None:
        self._ask("SCRIPT", "FLUSH")
        self._mended("script_flush", self._change)

    def cut_off(self) -> None:
        """The connections break when a part of a rebuild was sent."""
        whole = self._bytes_held()
        for share in CUTS_AT:
            cuts = self._stage.cutter.cuts
            self._stage.cutter.cut_after(int(whole * share))
            self._mended(f"cut_at_{share * 100:.0f}_percent", lambda: self._ask("FLUSHALL"))
            assert self._stage.cutter.cuts == cuts + 1, "nothing was cut"

    def killed_in_a_step(self) -> None:
        """SIGKILL of Redis while one step after another is told to it; it comes back empty."""

        def kill() -> float:
            ending = threading.Event()
            changing = threading.Thread(target=self._change_until, args=[ending])
            changing.start()
            time.sleep(CHANGING_SECONDS)
            self._stage.redis.restart_empty()
            ending.set()
            changing.join()
            return time.monotonic()

        self._mended("killed", kill)

    def probed(self) -> float:
        """Probes that passed a second, over some rounds of all instances."""
        begun, before = time.monotonic(), self._stage.probes_passed()
        time.sleep(PROBED_SECONDS)
        return (self._stage.probes_passed() - before) / (time.monotonic() - begun)

    def unhealthy(self) -> int:
        """How often an instance was said to be in trouble; all of them answer all the time."""
        logs = self._stage.reader.of(Topic.STATUSES.value)
        return sum(b'"status":"UNHEALTHY"' in (one.value or b"") for log in logs for one in log)

    def _mended(self, name: str, lose: Callable[[], float]) -> None:
        begun = lose()
        seconds, differences = self._stage.held.correct_after(begun, CORRECT_SECONDS_MAX)
        self.found.seconds[name] = seconds
        self.found.differences[name] = differences
        say(f"{name}: equal after {seconds:.2f} s, {len(differences)} differences")
        for one in differences[:TOLD_MAX]:
            say(f"  {one}")

    def _settled(self) -> None:
        _, differences = self._stage.held.correct_after(time.monotonic(), CORRECT_SECONDS_MAX)
        assert differences == [], differences[:TOLD_MAX]

    def _ask(self, *words: str) -> float:
        answer = self._stage.redis.ask(*words)
        assert answer.startswith("+OK"), answer
        return time.monotonic()

    def _change(self) -> float:
        """Scale some nodes: their records change, and what health says of them."""
        fleet = self._stage.fleet
        places = list(fleet.nodes)
        for number in range(CHANGED):
            node = fleet.nodes[places[(self._written + number) % len(places)]]
            fleet.scale(node, node.spec.instances.want + 1)
        self._written += CHANGED
        fleet.writer.flush()
        return time.monotonic()

    def _change_until(self, ending: threading.Event) -> None:
        while not ending.is_set():
            self._change()

    def _bytes_held(self) -> int:
        """About what a whole rebuild sends: the values, and some more for keys and commands."""
        logs = [log for topic in self._stage.topics for log in self._stage.reader.of(topic)]
        last = {record.key: len(record.value or b"") for log in logs for record in log}
        return sum(last.values())


def rows() -> list[Row]:
    set_up("chaos", "error")
    return measured(NODES, PER_NODE, EVENTS)


def measured(nodes: int, per_node: int, events: int) -> list[Row]:
    with Stage(nodes, per_node, events) as stage:
        losses = Losses(stage)
        losses.taken_over()
        losses.flushed()
        losses.failed_over()
        losses.scripts_lost()
        losses.cut_off()
        losses.killed_in_a_step()
        losses.taken_over_again()
        probes, unhealthy = losses.probed(), losses.unhealthy()
    wanted = nodes * per_node / PROBE_SECONDS
    targets = {"rebuild": REBUILD_SECONDS, "flush": FLUSH_SECONDS}
    found = losses.found
    return [
        Row("projection_events_count", stage.fleet.writer.count, at_least=events),
        *(
            Row(f"projection_{name}_seconds", seconds, at_most=targets.get(name))
            for name, seconds in found.seconds.items()
        ),
        *(
            Row(f"projection_{name}_differences", len(left), at_most=0)
            for name, left in found.differences.items()
        ),
        Row("projection_fleet_probes_per_second", probes, at_least=wanted * PROBED_SHARE),
        Row("projection_fleet_unhealthy_count", unhealthy, at_most=0),
    ]


if __name__ == "__main__":
    sys.exit(finish(rows()))
