"""Commands drawn from a seed: valid and invalid, repeated, ids used again. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

Json = dict[str, Any]

PARTITIONERS = ("murmur2", "librdkafka", "none")
CHECKPOINT = "c" * 64
REMEMBERED = 400  # Commands that may be repeated, or whose ids may be used again.
# Few probes, so that the machine is busy with commands; nothing in trouble is replaced for long.
PROBE = {"interval_seconds": 5.0, "timeout_seconds": 5.0, "fails": 3, "passes": 1}
KINDS = {
    "deploy": 24,
    "scale": 26,
    "suspend": 5,
    "resume": 9,
    "recreate": 6,
    "delete": 5,
    "invalid": 9,
    "stale": 3,
    "repeated": 8,
    "id_reused": 5,
}


@dataclass(frozen=True)
class Planned:
    """One command, and how its producer picks the partition."""

    body: Json
    partitioner: str


def deploy(node: str, *, want: int, version: int = 0) -> Json:
    """Make the node, or change it."""
    return {**_named(node), "kind": "DeployNode", "spec": _spec(want, version)}


def scale(node: str, want: int) -> Json:
    return {**_named(node), "kind": "ScaleNode", "want": want}


def planned(seed: int, commands: int, nodes: int) -> Iterator[Planned]:
    """First every node is deployed, then anything may be asked of any."""
    dice = random.Random(seed)
    kinds, weights = list(KINDS), list(KINDS.values())
    sent: list[Json] = []
    for number in range(commands):
        is_first = number < nodes
        kind = "deploy" if is_first else dice.choices(kinds, weights)[0]
        node = f"n{number if is_first else dice.randrange(nodes)}"
        body = _body(dice, kind, node, sent)
        if kind != "repeated":
            sent.append(body)
        yield Planned(body, dice.choice(PARTITIONERS))


def _body(dice: random.Random, kind: str, node: str, sent: list[Json]) -> Json:
    if kind == "repeated":
        return dice.choice(sent[-REMEMBERED:])
    if kind == "id_reused":
        before = dice.choice(sent[-REMEMBERED:])
        return {**scale(before["node"], dice.randint(1, 3)), "id": before["id"]}
    identity = {"id": str(UUID(int=dice.getrandbits(128), version=4)), "node": node}
    match kind:
        case "deploy":
            made = deploy(node, want=dice.choice([1, 1, 2]), version=dice.randrange(3))
            return {**made, **identity}
        case "scale":
            return {**scale(node, dice.randint(1, 3)), **identity}
        case "invalid":
            return {**identity, **dice.choice(_INVALID)}
        case "stale":
            return {"kind": "SuspendNode", **identity, "if_generation": 100_000}
    return {"kind": f"{kind.capitalize()}Node", **identity}


def _named(node: str) -> Json:
    return {"id": str(uuid4()), "node": node}


def _spec(want: int, version: int) -> Json:
    return {
        "checkpoint": CHECKPOINT,
        "cell": "y = 1",
        "outputs": ["y"],
        "env": {"VERSION": str(version)},
        "instances": {"min": 1, "want": want},
        "probe": PROBE,
        "replace_after_seconds": 60.0,
    }


_INVALID: tuple[Json, ...] = (
    {"kind": "ScaleNode", "want": 2, "min": 3},
    {"kind": "ScaleNode", "want": 0},
    {"kind": "ScaleNode", "wanted": 2},
    {"kind": "ResetNode"},
    {"kind": "Explode"},
    {"kind": "DeployNode", "spec": {"checkpoint": CHECKPOINT, "cell": ""}},
    {"kind": "DeployNode", "spec": {"checkpoint": CHECKPOINT, "cell": "x", "state": "fresh"}},
)
