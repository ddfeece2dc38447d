"""Thousands of commands while services are killed, paused and rebalanced; then the books.

`python -m benchmarks.chaos_commands --commands 500 --faults 6` is a small one.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.chaos_checks import (
    doubled,
    illegal_moves,
    leaked,
    metered_differences,
    projection_differences,
    removed_while_wanted,
    unmade,
)
from benchmarks.chaos_faults import Faults, drawn, running
from benchmarks.chaos_oracle import Name, Oracle, Said, differing_nodes, name_of, said_by_name
from benchmarks.chaos_producer import Outside, sending
from benchmarks.chaos_projected import projected, wanted
from benchmarks.chaos_reading import Reader, Record, folded
from benchmarks.chaos_schedule import PARTITIONERS, planned
from benchmarks.chaos_system import PARTITIONS, REPLICAS, ChaosSystem
from benchmarks.rows import Row, finish

SEED = 20
COMMANDS = 10_000
FAULTS = 64
NODES = 200
KAFKA_SECONDS = 30.0
PER_SECOND = 25.0
SETTLE_SECONDS_MAX = 150.0
QUIET_SECONDS = 3.0
SHOWN_MAX = 5
TOPICS = ("commands", "outcomes", "nodes", "instances", "statuses", "usage")


@dataclass(frozen=True)
class Size:
    """How much of it."""

    commands: int = COMMANDS
    faults: int = FAULTS
    nodes: int = NODES
    kafka_seconds: float = KAFKA_SECONDS
    per_second: float = PER_SECOND

    @property
    def seconds(self) -> float:
        return self.commands / self.per_second


def rows(size: Size = Size(), seed: int = SEED) -> list[Row]:
    """Everything from the start of Kafka to the last comparison."""
    with ChaosSystem(seed) as system:
        topics = [f"cellnode.{topic}" for topic in TOPICS]
        system.until_topics()
        with Reader(system.kafka.address, topics, PARTITIONS) as reader:
            outside, faults = Outside(system.kafka.address), Faults(system, seed)
            drawn_faults = drawn(seed, size.faults, size.kafka_seconds, REPLICAS)
            commands = planned(seed, size.commands, size.nodes)
            with (
                running(lambda: faults.run(drawn_faults, size.seconds)),
                sending(outside, commands, size.per_second),
            ):
                pass
            left = outside.flush()
            _say(f"{len(outside.acknowledged)} acknowledged, {left} not")
            books = Books(system, reader, outside)
            settled = books.settle()
            _say("settled" if settled else "not settled in time")
            return books.rows(faults.count, size)


class Books:
    """What was asked, what was said, and what is."""

    def __init__(self, system: ChaosSystem, reader: Reader, outside: Outside) -> None:
        self._system, self._reader, self._outside = system, reader, outside
        self._asked = {name_of(one.body): one for one in outside.acknowledged}
        self._judged: tuple[int, Oracle] | None = None

    def settle(self) -> bool:
        """Until nothing is missing any more, or for as long as that may take."""
        deadline = time.monotonic() + SETTLE_SECONDS_MAX
        while time.monotonic() < deadline:
            time.sleep(QUIET_SECONDS)
            if not self._left():
                time.sleep(QUIET_SECONDS)
                return True
        return False

    def rows(self, faults: int, size: Size) -> list[Row]:
        told = self._told()
        oracle = self._oracle(told)
        nodes, instances = self._folded("nodes"), self._folded("instances")
        truth, present = self._system.fleet.truth(), self._system.fleet.present()
        unanswered = self._unanswered(told)
        twice = [name for name, said in told.items() if len(said) > 1]
        without_effect = [
            *oracle.wrong,
            *differing_nodes(oracle, nodes),
            *unmade(present, instances, oracle.nodes),
        ]
        by_partition = self._reader.of("cellnode.instances")
        held = wanted(nodes, self._folded("statuses"))
        is_all = len(self._outside.acknowledged)
        metered = metered_differences(truth, self._reader.of("cellnode.usage"))
        _show_metered(metered)
        return [
            Row("commands_acknowledged", is_all, at_least=size.commands),
            Row("faults", faults, at_least=min(size.faults, 60)),
            _none("commands_without_outcome", [self._asked[name].body for name in unanswered]),
            _none("commands_with_two_outcomes", [(name, told[name]) for name in twice]),
            _none("effects_missing", without_effect),
            *self._by_partitioner(unanswered, twice),
            Row("instances_made", len(truth)),
            _none("instances_doubled", doubled(truth)),
            _none("instances_leaked", leaked(present, instances)),
            _none("instances_removed_while_wanted", removed_while_wanted(truth, by_partition)),
            _none("illegal_moves_seen", illegal_moves(self._reader.of("cellnode.statuses"))),
            _none("projection_differences", projection_differences(self._projected(), held)),
            Row("metered_instances_ended", len(metered)),
            Row("metered_difference_longest_seconds", max(metered.values()), at_most=1),
        ]

    def _left(self) -> list[object]:
        """What is still to be done."""
        told = self._told()
        if unanswered := self._unanswered(told):
            bodies = [self._asked[name].body for name in unanswered[:SHOWN_MAX]]
            _say(f"{len(unanswered)} without an outcome, as {bodies}")
            return list(unanswered)
        oracle, nodes = self._oracle(told), self._folded("nodes")
        instances = self._folded("instances")
        present = self._system.fleet.present()
        held = wanted(nodes, self._folded("statuses"))
        missing: list[object] = [
            *differing_nodes(oracle, nodes),
            *unmade(present, instances, oracle.nodes),
            *leaked(present, instances),
            *self._unhealthy(oracle),
            *projection_differences(self._projected(), held),
        ]
        if missing:
            _say(f"{len(missing)} to be done, as {missing[:SHOWN_MAX]}")
        return missing

    def _unhealthy(self, oracle: Oracle) -> list[str]:
        """Nodes whose status is not yet what it must become."""
        statuses = self._folded("statuses")
        expected = {
            place: "SUSPENDED" if node.suspended else "HEALTHY"
            for place, node in oracle.nodes.items()
            if not node.deleting
        }
        said = {key: one.body["status"] for key, one in statuses.items() if "/" in key}
        return [
            f"{place} is {said.get(place)}"
            for place in sorted(expected.keys() | said.keys())
            if said.get(place) != expected.get(place)
        ]

    def _by_partitioner(self, unanswered: Sequence[Name], twice: Sequence[Name]) -> list[Row]:
        found = []
        for partitioner in PARTITIONERS:
            own = {name for name, one in self._asked.items() if one.partitioner == partitioner}
            name = f"producer_{partitioner}_commands"
            found += [
                Row(f"{name}_lost", len(own.intersection(unanswered)), at_most=0),
                Row(f"{name}_decided_twice", len(own.intersection(twice)), at_most=0),
            ]
        return found

    def _told(self) -> dict[Name, set[Said]]:
        return said_by_name(self._reader.of("cellnode.outcomes"))

    def _oracle(self, told: dict[Name, set[Said]]) -> Oracle:
        """Made anew only when something was said or asked since."""
        topics = ("cellnode.commands", "cellnode.outcomes")
        count = sum(len(records) for topic in topics for records in self._reader.of(topic))
        if self._judged is None or self._judged[0] != count:
            oracle = Oracle(told)
            oracle.read(self._reader.of("cellnode.commands"))
            self._judged = (count, oracle)
        return self._judged[1]

    def _unanswered(self, told: Mapping[Name, object]) -> list[Name]:
        return [name for name in self._asked if name not in told]

    def _folded(self, topic: str) -> dict[str, Record]:
        return folded(self._reader.of(f"cellnode.{topic}"))

    def _projected(self) -> dict[str, dict[str, bytes]]:
        return projected(self._system.redis.url, PARTITIONS)


def _show_metered(metered: Mapping[str, float]) -> None:
    """Who differs by more than a second."""
    wrong = [f"{name} by {seconds:.3f} s" for name, seconds in metered.items() if seconds > 1]
    for one in wrong[:SHOWN_MAX]:
        _say(f"metered wrongly: {one}")


def _none(name: str, found: Sequence[object]) -> Row:
    """There should be none of these; the first of them are shown."""
    for one in found[:SHOWN_MAX]:
        _say(f"{name}: {one}")
    return Row(name, len(found), at_most=0)


def _say(line: str) -> None:
    print(f"# {line}", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", type=int, default=COMMANDS)
    parser.add_argument("--faults", type=int, default=FAULTS)
    parser.add_argument("--nodes", type=int, default=NODES)
    parser.add_argument("--kafka-seconds", type=float, default=KAFKA_SECONDS)
    parser.add_argument("--per-second", type=float, default=PER_SECOND)
    parser.add_argument("--seed", type=int, default=SEED)
    given = vars(parser.parse_args())
    seed = given.pop("seed")
    return finish(rows(Size(**given), seed))


if __name__ == "__main__":
    sys.exit(main())
