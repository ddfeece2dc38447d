"""What an outside observer holds against the system: VMs, statuses, projection. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from benchmarks.chaos_reading import Record, winning
from schemas.nodes import Node
from schemas.statuses import INSTANCE_MOVES, NODE_MOVES

Json = dict[str, Any]
GONE = "gone"

_MOVES: Mapping[str, Mapping[str, set[str]]] = {
    "InstanceStatusChanged": {
        **{now.value: {then.value for then in moves} for now, moves in INSTANCE_MOVES.items()},
        "DELETING": {GONE},
        GONE: {"UNDEFINED"},
    },
    "NodeStatusChanged": {
        **{now.value: {then.value for then in moves} for now, moves in NODE_MOVES.items()},
        "DELETING": {GONE},
        GONE: {"CREATED"},
    },
}


def doubled(truth: Iterable[Json]) -> list[str]:
    """Instances that had more than one VM."""
    lives = Counter(life["instance"] for life in truth)
    return [f"{name} was made {count} times" for name, count in lives.items() if count > 1]


def leaked(present: Iterable[Json], instances: Mapping[str, Record]) -> list[str]:
    """VMs that are there and that nobody knows of."""
    return [life["instance"] for life in present if life["instance"] not in instances]


def unmade(
    present: Iterable[Json], instances: Mapping[str, Record], nodes: Mapping[str, Node]
) -> list[str]:
    """Nodes with another number of living VMs of their revision than they want."""
    alive = {life["instance"] for life in present if life["exited_at"] is None}
    counts: Counter[str] = Counter()
    for name, record in instances.items():
        fact = record.body
        place = f"{fact['project']}/{fact['node']}"
        node = nodes.get(place)
        is_present = name in alive and node is not None and fact["revision"] == node.revision
        counts[place] += is_present if is_present else 1_000_000
    wanted = {place: 0 if n.deleting else n.instances_wanted for place, n in nodes.items()}
    return [
        f"{place} has {counts[place]} of {wanted.get(place, 0)}"
        for place in sorted(wanted.keys() | counts.keys())
        if counts[place] != wanted.get(place, 0)
    ]


def removed_while_wanted(
    truth: Iterable[Json], partitions: Iterable[Sequence[Record]]
) -> list[str]:
    """VMs that were stopped before it was on record that their instance leaves."""
    leaving_at: dict[str, float] = {}
    known: set[str] = set()
    for records in partitions:
        for record in winning(records):
            known.add(record.key)
            if record.value is None or record.body["deleting"] is not None:
                leaving_at.setdefault(record.key, record.at)
    return [
        life["instance"]
        for life in truth
        if life["stopped_at"] is not None
        and life["instance"] in known
        and leaving_at.get(life["instance"], float("inf")) > life["stopped_at"]
    ]


def illegal_moves(partitions: Iterable[Sequence[Record]]) -> list[str]:
    """Moves that the tables forbid, as seen by who follows `statuses`.

    Every event carries its last transitions: what was skipped while the bus was away stands there.
    """
    found = []
    for records in partitions:
        last: dict[str, Json | None] = {}
        for record in winning(records):
            before, after = last.get(record.key), record.body
            last[record.key] = after
            found += [f"{record.key}: {one}" for one in _wrong_steps(before, after)]
    return found


def _wrong_steps(before: Json | None, after: Json | None) -> list[str]:
    if before is None and after is None:
        return []
    kind = (after or before or {})["kind"]
    if before is not None and after is not None and before["uid"] != after["uid"]:
        return [f"{before['uid']} became {after['uid']} without an end"]
    path = [GONE if before is None else before["status"], *_entered(before, after)]
    moves = _MOVES[kind]
    return [
        f"{now} -> {then}" for now, then in pairwise(path) if now != then and then not in moves[now]
    ]


def _entered(before: Json | None, after: Json | None) -> list[str]:
    """The statuses since the event before, in order."""
    if after is None:
        return [GONE]
    known_at = max((step["at"] for step in (before or {}).get("transitions", ())), default="")
    new = [step["status"] for step in after["transitions"] if step["at"] > known_at]
    return [*new, after["status"]]


def metered_differences(
    truth: Iterable[Json], partitions: Iterable[Sequence[Record]]
) -> dict[str, float]:
    """Seconds by which the metered ones of each instance that has ended differ from the fleet's."""
    hours: dict[str, dict[str, float]] = {}
    for records in partitions:
        for record in records:
            usage = record.body
            known = hours.setdefault(usage["instance"], {})
            known[usage["hour"]] = max(known.get(usage["hour"], 0.0), usage["seconds"])
    return {
        life["instance"]: abs(sum(hours.get(life["instance"], {}).values()) - _seconds_of(life))
        for life in truth
        if life["removed_at"] is not None
    }


def _seconds_of(life: Json) -> float:
    return float(life["exited_at"] - life["made_at"])


def projection_differences(
    projected: Mapping[str, Mapping[str, bytes]], wanted: Mapping[str, Mapping[str, bytes]]
) -> list[str]:
    """Keys of the projection's tables that are not, byte for byte, what the topics say."""
    found = []
    for table in sorted(projected.keys() | wanted.keys()):
        has, should = projected.get(table, {}), wanted.get(table, {})
        keys = sorted(has.keys() | should.keys())
        found += [f"{table} {key}" for key in keys if has.get(key) != should.get(key)]
    return found
