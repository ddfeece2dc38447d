"""What must have become of every command: the pure `decide`, in the order of the log."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from uuid import UUID

from benchmarks.chaos_reading import Record, winning_outcomes
from schemas.commands import AnyCommand, parse_command
from schemas.decisions import decide
from schemas.errors import DomainError, RefusalReason
from schemas.ids import partition_of, place_of
from schemas.nodes import Node
from services.provisioner.outcomes import body_digest

Json = dict[str, Any]
Name = tuple[str, str]  # Of a command: its id and the digest of its body.

_NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
REUSED = RefusalReason.COMMAND_ID_REUSED.value


def digest_of_body(body: Json) -> str:
    """As the provisioner names it."""
    try:
        return parse_command(body).digest()
    except DomainError:
        return body_digest(body)


def name_of(body: Json) -> Name:
    return body["id"], digest_of_body(body)


@dataclass(frozen=True)
class Said:
    """The part of an outcome that must be the same however often it is repeated."""

    kind: str
    reason: str = ""
    generation: int = 0
    changed: bool = False

    @classmethod
    def of(cls, outcome: Json) -> Said:
        if outcome["kind"] == "CommandRejected":
            return cls("CommandRejected", reason=outcome["reason"])
        return cls("CommandAccepted", "", outcome["generation"], outcome["changed"])


def said_by_name(partitions: Iterable[Sequence[Record]]) -> dict[Name, set[Said]]:
    """Every distinct outcome of every command."""
    found: dict[Name, set[Said]] = {}
    for records in partitions:
        for record in winning_outcomes(records):
            outcome = record.body
            name = (outcome["command"], outcome["digest"])
            found.setdefault(name, set()).add(Said.of(outcome))
    return found


@dataclass
class Oracle:
    """Nodes as the accepted commands have made them, and what was decided wrongly."""

    told: dict[Name, set[Said]]
    nodes: dict[str, Node] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    _ids: dict[tuple[int, str], str] = field(default_factory=dict)  # First digest, by partition.
    _seen: set[Name] = field(default_factory=set)

    def read(self, partitions: Sequence[Sequence[Record]]) -> None:
        """The topic of commands; what lies in a wrong partition was only forwarded from there."""
        for number, records in enumerate(partitions):
            for record in records:
                body = json.loads(record.value or b"{}")
                place = place_of(body.get("project", "default"), body["node"])
                if partition_of(place, len(partitions)) == number:
                    self._decide(number, place, body)

    def _decide(self, partition: int, place: str, body: Json) -> None:
        name = name_of(body)
        said = self.told.get(name)
        if name in self._seen or not said:
            return  # A repeat; or nothing was said, which is counted elsewhere.
        self._seen.add(name)
        one = min(said, key=str)
        first = self._ids.setdefault((partition, body["id"]), name[1])
        if first != name[1]:
            self._compare(body, one, [Said("CommandRejected", REUSED)])
            return
        outcomes = [(self._expected(node, body), node) for node in self._possible(place)]
        self._compare(body, one, [expected for (expected, _), _ in outcomes])
        for (expected, after), _ in outcomes:
            if expected == one:
                self._keep(place, after)
                return

    def _possible(self, place: str) -> list[Node | None]:
        """What the node may have been: one that is being deleted may be gone."""
        node = self.nodes.get(place)
        return [node, None] if node is not None and node.deleting else [node]

    def _expected(self, node: Node | None, body: Json) -> tuple[Said, Node | None]:
        try:
            command: AnyCommand = parse_command(body)
            after = decide(node, command, _NOW)
        except DomainError as refusal:
            return Said("CommandRejected", refusal.reason.value), node
        return Said("CommandAccepted", "", after.generation, after is not node), after

    def _compare(self, body: Json, said: Said, expected: Sequence[Said]) -> None:
        if said not in expected:
            self.wrong.append(f"{body}: said {said}, expected {list(expected)}")

    def _keep(self, place: str, node: Node | None) -> None:
        if node is None:
            self.nodes.pop(place, None)
        else:
            self.nodes[place] = node


def spec_of(node: Node) -> tuple[Any, ...]:
    """What the fold of the accepted commands says of a node."""
    return (
        node.uid,
        node.generation,
        node.revision,
        node.spec,
        node.deleting,
        node.suspended,
        tuple((one.id, one.generation) for one in node.recent_commands),
    )


def differing_nodes(oracle: Oracle, records: dict[str, Record]) -> list[str]:
    """Nodes whose record is not the fold; one that is deleted must be gone."""
    known = {key: Node.model_validate_json(one.value or b"") for key, one in records.items()}
    wanted = {place: node for place, node in oracle.nodes.items() if not node.deleting}
    return [
        place
        for place in sorted(known.keys() | wanted.keys())
        if place not in known
        or place not in wanted
        or spec_of(known[place]) != spec_of(wanted[place])
    ]


def is_uuid(text: str) -> bool:
    try:
        return bool(UUID(text))
    except ValueError:
        return False
