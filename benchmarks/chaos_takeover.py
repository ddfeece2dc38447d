"""SIGKILL of a provisioner, of a health: how long until its partitions are acted upon again."""

from __future__ import annotations

import signal
import sys
import time
from itertools import count, islice

from benchmarks.chaos_processes import ServiceProcess
from benchmarks.chaos_producer import Outside
from benchmarks.chaos_reading import Reader, folded
from benchmarks.chaos_schedule import Planned, deploy, scale
from benchmarks.chaos_system import PARTITIONS, SESSION_SECONDS, ChaosSystem
from benchmarks.rows import Row, finish, median
from schemas.ids import partition_of, place_of
from tests.e2e.waiting import until

SEED = 21
ROUNDS = 4
MARGIN_SECONDS = 5.0
ACTING_SECONDS_MAX = 60.0
CALM_SECONDS = 3.0


def rows(rounds: int = ROUNDS) -> list[Row]:
    """One node a partition; after each kill all of them are scaled."""
    with ChaosSystem(SEED) as system:
        system.until_topics()
        with Reader(system.kafka.address, ["cellnode.statuses"], PARTITIONS) as reader:
            probe = Probe(system, reader)
            probe.deploy()
            groups = {"provisioner": system.provisioners, "health": system.healths}
            measured = {
                name: [probe.killed(members[n % len(members)]) for n in range(rounds)]
                for name, members in groups.items()
            }
    allowed = SESSION_SECONDS + MARGIN_SECONDS
    return [
        row
        for name, seconds in measured.items()
        for row in (
            Row(f"{name}_killed_acting_again_median_seconds", median(seconds), at_most=allowed),
            Row(f"{name}_killed_acting_again_longest_seconds", max(seconds), at_most=allowed),
        )
    ]


class Probe:
    """Asks something of every partition, and waits until all of it is there to be seen."""

    def __init__(self, system: ChaosSystem, reader: Reader) -> None:
        self._system, self._reader = system, reader
        self._outside = Outside(system.kafka.address)
        self._nodes = one_a_partition()
        self._want = 1

    def deploy(self) -> None:
        for node in self._nodes:
            self._outside.send(Planned(deploy(node, want=1), "murmur2"))
        until("all are healthy", self._is_done, seconds=ACTING_SECONDS_MAX)

    def killed(self, member: ServiceProcess) -> float:
        """Seconds from the SIGKILL until an instance more or less is seen in every partition."""
        time.sleep(CALM_SECONDS)
        before = member.starts
        member.send(signal.SIGKILL)
        begun = time.monotonic()
        self._want = 3 - self._want
        for node in self._nodes:
            self._outside.send(Planned(scale(node, self._want), "murmur2"))
        until("all are scaled", self._is_done, seconds=ACTING_SECONDS_MAX)
        seconds = time.monotonic() - begun
        print(f"# {member.name} killed: {seconds:.1f} s", file=sys.stderr, flush=True)
        until("it is started again", lambda: member.starts > before, seconds=ACTING_SECONDS_MAX)
        return seconds

    def _is_done(self) -> bool:
        known = folded(self._reader.of("cellnode.statuses"))
        said = [known.get(place_of("default", node)) for node in self._nodes]
        return all(
            one is not None and (one.body["want"], one.body["healthy"]) == (self._want, self._want)
            for one in said
        )


def one_a_partition() -> list[str]:
    """Names of nodes, the first that falls into each partition."""
    found: dict[int, str] = {}
    for name in islice((f"n{number}" for number in count()), 10_000):
        found.setdefault(partition_of(place_of("default", name), PARTITIONS), name)
    return [found[number] for number in range(PARTITIONS)]


if __name__ == "__main__":
    sys.exit(finish(rows()))
