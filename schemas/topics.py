"""Topics declared as data: names, how long they keep, who writes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

_DAY_MS = 24 * 3600 * 1000
USAGE_DAYS = 396  # 13 months.


class Topic(str, Enum):
    """The topics of cellnode. The value is the name on the bus."""

    COMMANDS = "cellnode.commands"
    OUTCOMES = "cellnode.outcomes"
    NODES = "cellnode.nodes"
    ALIASES = "cellnode.aliases"
    INSTANCES = "cellnode.instances"
    STATUSES = "cellnode.statuses"
    SIGNALS = "cellnode.signals"
    USAGE = "cellnode.usage"
    DEAD_LETTERS = "cellnode.dead-letters"


@dataclass(frozen=True)
class TopicDeclaration:
    """How a topic is made. `retention_ms` None means compacted: the last record of a key stays."""

    topic: Topic
    key: str
    writer: str
    retention_ms: int | None
    carries: str
    is_thinned: bool = False  # Until it is too old, only the last record of a key is needed.

    @property
    def is_compacted(self) -> bool:
        return self.retention_ms is None

    def config(self) -> dict[str, str]:
        """The topic's configuration in Kafka's own words."""
        if self.retention_ms is None:
            return {"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.5"}
        policy = "compact,delete" if self.is_thinned else "delete"
        return {"cleanup.policy": policy, "retention.ms": str(self.retention_ms)}


def _declared(
    topic: Topic,
    key: str,
    writer: str,
    *,
    days: float | None,
    carries: str,
    is_thinned: bool = False,
) -> TopicDeclaration:
    retention_ms = None if days is None else int(days * _DAY_MS)
    return TopicDeclaration(topic, key, writer, retention_ms, carries, is_thinned)


# `outcomes` outlives `commands`, so a command delivered again always finds its outcome.
DECLARATIONS: Mapping[Topic, TopicDeclaration] = {
    declared.topic: declared
    for declared in (
        _declared(Topic.COMMANDS, "node or alias", "anyone", days=7, carries="commands"),
        _declared(
            Topic.OUTCOMES,
            "node or alias",
            "provisioner",
            days=14,
            carries="CommandAccepted, CommandRejected",
        ),
        _declared(Topic.NODES, "node", "provisioner", days=None, carries="Node"),
        _declared(Topic.ALIASES, "alias", "provisioner", days=None, carries="Alias"),
        _declared(
            Topic.INSTANCES,
            "instance",
            "provisioner",
            days=None,
            carries="Instance: Wanted, Created, Refused, Exited, Deleting",
        ),
        _declared(
            Topic.STATUSES,
            "node or instance",
            "health",
            days=None,
            carries="NodeStatusChanged, InstanceStatusChanged",
        ),
        _declared(Topic.SIGNALS, "node", "gateway", days=1 / 24, carries="GatewaySignal"),
        _declared(
            Topic.USAGE,
            "instance, with @hour once the hour is closed",
            "provisioner",
            days=USAGE_DAYS,
            carries="InstanceUsage",
            is_thinned=True,
        ),
        _declared(
            Topic.DEAD_LETTERS,
            "as the original",
            "all",
            days=28,
            carries="raw bytes of what could not be processed",
        ),
    )
}
