"""The exact words of statuses with their numbers and colours, the same on every panel."""

from __future__ import annotations

from typing import Any

from schemas.statuses import InstanceStatus, NodeStatus

Json = dict[str, Any]

GREY = "#8e8e8e"

# A state timeline draws numbers; these are mapped back to the words. Never renumber: links and
# saved panels stay right.
NUMBERS = {
    "UNDEFINED": 1,
    "CREATED": 2,
    "STARTED": 3,
    "PREPARING": 4,
    "HEALTHY": 5,
    "UNHEALTHY": 6,
    "DELETING": 7,
    "SUSPENDED": 8,
}
COLOURS = {
    "UNDEFINED": GREY,
    "CREATED": "super-light-blue",
    "STARTED": "blue",
    "PREPARING": "yellow",
    "HEALTHY": "green",
    "UNHEALTHY": "red",
    "DELETING": "purple",
    "SUSPENDED": "dark-blue",
}
OF_NODES = tuple(status.value for status in NodeStatus)
OF_INSTANCES = tuple(status.value for status in InstanceStatus)


def mapped() -> list[Json]:
    """Number to word and colour, as Grafana's value mapping."""
    options = {
        str(number): {"text": word, "color": COLOURS[word], "index": index}
        for index, (word, number) in enumerate(NUMBERS.items())
    }
    return [{"type": "value", "options": options}]


def mapped_words() -> list[Json]:
    """Word to colour, for tables that hold the words themselves."""
    options = {
        word: {"text": word, "color": COLOURS[word], "index": index}
        for index, word in enumerate(NUMBERS)
    }
    return [{"type": "value", "options": options}]


def coloured(*words: str) -> list[Json]:
    """Overrides that give series named after a status its colour."""
    return [
        {
            "matcher": {"id": "byName", "options": word},
            "properties": [
                {"id": "color", "value": {"mode": "fixed", "fixedColor": COLOURS[word]}}
            ],
        }
        for word in words
    ]
