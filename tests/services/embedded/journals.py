"""What the tests of the journal share: records as owners write them."""

from __future__ import annotations

import json
from typing import Any

from schemas.messages import SEQ_HEADER, TERM_HEADER
from schemas.topics import Topic
from services.chassis.bus_records import HeaderPairs, RawRecord
from services.embedded.journal_state import JournalState

NODE = "default/digits"


def headers(term: int, seq: int) -> HeaderPairs:
    return ((TERM_HEADER, str(term).encode()), (SEQ_HEADER, str(seq).encode()))


def record(
    topic: Topic, key: str, body: dict[str, Any] | None, order: tuple[int, int] = (1, 1), **at: int
) -> RawRecord:
    """As the owner of a partition writes it; no body is a tombstone."""
    value = None if body is None else json.dumps(body).encode()
    place = {"partition": 0, "offset": 0, **at}
    return RawRecord(
        topic.value, key=key.encode(), value=value, headers=headers(*order), timestamp_ms=7, **place
    )


def node(name: str = "digits", order: tuple[int, int] = (1, 1), **fields: Any) -> RawRecord:
    body = {"kind": "Node", "project": "default", "node": name, "next_n": 3, **fields}
    return record(Topic.NODES, f"default/{name}", body, order)


def command(offset: int, text: str = "{}", partition: int = 0) -> RawRecord:
    return RawRecord(Topic.COMMANDS.value, partition, offset, NODE.encode(), text.encode())


def outcome(command_id: str, order: tuple[int, int] = (1, 1), **fields: Any) -> RawRecord:
    body = {"command": command_id, "digest": "d", "node": "digits", **fields}
    return record(Topic.OUTCOMES, NODE, body, order)


def state_of(*records: RawRecord) -> JournalState:
    state = JournalState()
    for one in records:
        state.apply(one)
    return state


def values(state: JournalState) -> list[bytes | None]:
    return [one.value for one in state.known()]
