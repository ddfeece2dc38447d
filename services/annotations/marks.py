"""What is written about a change of status: pure, and the same however often it is made."""

from __future__ import annotations

import hashlib
import html
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from schemas.events import InstanceStatusChanged, NodeStatusChanged
from schemas.statuses import SENTENCES, Transition

ID_CHARACTERS = 16
TAG_CHARACTERS_MAX = 100  # What Grafana keeps of the value of a tag.
SENTENCE_CHARACTERS_MAX = 1_000
CHANGE = "change:"

Event = InstanceStatusChanged | NodeStatusChanged


@dataclass(frozen=True)
class Mark:
    """One annotation; `id` tells it from all others, in a tag of its own."""

    id: str
    at: datetime
    tags: tuple[str, ...]
    text: str

    @property
    def at_ms(self) -> int:
        return int(self.at.timestamp() * 1000)

    def body(self) -> dict[str, object]:
        """As Grafana takes it."""
        return {"time": self.at_ms, "tags": list(self.tags), "text": self.text}


def marks(event: Event, tag: str, after: Transition | None = None) -> list[Mark]:
    """Every change of status in the event's history, in its order; only those after a step.

    What an outage has merged into one event is several changes all the same. Times may have been
    told by several clocks, so it is the order that counts.
    """
    history = event.transitions
    first = history.index(after) + 1 if after in history else 0
    changes = [
        (history[place - 1].status if place else "", history[place])
        for place in range(first, len(history))
    ]
    return [_mark(event, before, step, tag) for before, step in changes if step.status != before]


def whose(event: Event, tag: str) -> tuple[str, ...]:
    """The tags that all marks of this node, or of this instance, carry."""
    if isinstance(event, InstanceStatusChanged):
        return (tag, "kind:instance", _short("instance", event.instance))
    return (tag, "kind:node", _short("node", event.place))


def known_ids(annotations: Iterable[object]) -> set[str]:
    """The changes that Grafana has heard of already, by the tags in its answer."""
    tags = [
        str(tag)
        for one in annotations
        if isinstance(one, dict) and isinstance(one.get("tags"), list)
        for tag in one["tags"]
    ]
    return {tag.removeprefix(CHANGE) for tag in tags if tag.startswith(CHANGE)}


def _mark(event: Event, before: str, step: Transition, tag: str) -> Mark:
    is_present = step == event.transitions[-1]
    sentence = event.sentence if is_present else SENTENCES[step.reason]
    named = f"{event.uid} {event.key} {step.status} {step.at.isoformat()}"
    number = hashlib.sha256(named.encode()).hexdigest()[:ID_CHARACTERS]
    way = f"{before} → {step.status}" if before else step.status
    of_node = _short("node", event.place)
    tags = (*whose(event, tag), of_node, step.status, step.reason.value, CHANGE + number)
    text = f"{event.key}: {way} ({step.reason.value}). {sentence[:SENTENCE_CHARACTERS_MAX]}"
    return Mark(number, step.at, tuple(dict.fromkeys(tags)), html.escape(text, quote=False))


def _short(name: str, value: str) -> str:
    return f"{name}:{value[:TAG_CHARACTERS_MAX]}"
