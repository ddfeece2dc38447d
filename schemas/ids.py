"""Names, identities and the partition that a name lives on."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any
from uuid import UUID

from pydantic import StringConstraints

NAME_PATTERN = r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$"
UID_CHARACTERS = 6

ProjectName = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
NodeName = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
InstanceId = Annotated[
    str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?-[0-9a-f]{6}-[1-9][0-9]{0,9}$")
]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
VariableName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]

DEFAULT_PROJECT = "default"


def place_of(project: str, node: str) -> str:
    """The full name, `project/node`: what every record about a node is partitioned by."""
    return f"{project}/{node}"


def instance_id(node: str, uid: UUID, n: int) -> str:
    """`<name>-<first 6 of uid>-<n>`: never used again, so late facts hit only their own."""
    return f"{node}-{uid.hex[:UID_CHARACTERS]}-{n}"


def canonical_json(value: Any) -> bytes:
    """RFC 8785 bytes of a value made of objects, lists, strings, integers, booleans and null.

    Floats are refused: their canonical form is not what Python writes.
    """
    _refuse_floats(value)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def digest_of(value: Any) -> str:
    """SHA-256, in lowercase hex, over the canonical JSON of a value."""
    return hashlib.sha256(canonical_json(value)).hexdigest()


def floats_as_text(value: Any) -> Any:
    """The same value with every float written as Python's repr, so that it can be digested."""
    if isinstance(value, dict):
        return {key: floats_as_text(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [floats_as_text(child) for child in value]
    return repr(value) if isinstance(value, float) else value


def partition_of(place: str, partitions: int) -> int:
    """The partition of every record about this place, the same one in every topic."""
    return (murmur2(place.encode()) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """The 32-bit hash of Kafka's Java client (`org.apache.kafka.common.utils.Utils.murmur2`)."""
    mask, m = 0xFFFFFFFF, 0x5BD1E995
    h = (0x9747B28C ^ len(data)) & mask
    whole = len(data) & ~3
    for start in range(0, whole, 4):
        k = int.from_bytes(data[start : start + 4], "little") * m & mask
        k = (k ^ (k >> 24)) * m & mask
        h = (h * m & mask) ^ k
    if rest := data[whole:]:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ (h >> 13)) * m & mask
    return h ^ (h >> 15)


def _refuse_floats(value: Any) -> None:
    if isinstance(value, float):
        raise ValueError(f"{value!r}: floats have no canonical form here; write a string")
    children = value.values() if isinstance(value, dict) else value
    if isinstance(value, dict | list | tuple):
        for child in children:
            _refuse_floats(child)
