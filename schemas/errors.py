"""The error tree: it answers the one question a caller has, may I try again?

Error
├── DomainError               the rules forbid it; never retry: an outcome, a 4xx or a reason
│   ├── InvalidField          a field's value is wrong; names the field and the remedy
│   ├── IllegalMove           the table of statuses does not allow this change
│   ├── UnknownNode           there is no such node
│   ├── StaleGeneration       somebody else changed the node meanwhile
│   ├── CommandIdReused       the same command id came with another body
│   ├── NameBusy              the name's former owner is still being deleted
│   ├── NotBuilt              known, but this version cannot do it
│   └── CheckpointFault       the checkpoint is missing, damaged or does not fit
└── TransientError            the world was not ready; retry with back-off; a 503
    ├── BusUnavailable        Kafka did not acknowledge in time
    ├── StoreUnavailable      Redis or the checkpoint store did not answer in time
    ├── ProviderBusy          no capacity
    └── NotOwner              another process owns the partition now
"""

from __future__ import annotations

from enum import Enum


class RefusalReason(str, Enum):
    """Why a command was rejected, for programs."""

    INVALID = "INVALID"  # A field is wrong; `field` and `remedy` say which and how to mend it.
    UNKNOWN_NODE = "UNKNOWN_NODE"  # There is no such node.
    STALE_GENERATION = "STALE_GENERATION"  # `if_generation` is not the node's generation.
    COMMAND_ID_REUSED = "COMMAND_ID_REUSED"  # The id was used before with another body.
    DELETING = "DELETING"  # The node of this name is still being deleted.
    NOT_BUILT = "NOT_BUILT"  # This version knows the command or field but cannot do it.


class Error(Exception):
    """Whatever cellnode raises on purpose."""


class DomainError(Error):
    """The rules forbid it; trying again changes nothing."""

    reason: RefusalReason = RefusalReason.INVALID

    def __init__(self, sentence: str, *, field: str | None = None, remedy: str = "") -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.field = field
        self.remedy = remedy


class InvalidField(DomainError):
    """A field's value is wrong."""


class IllegalMove(DomainError):
    """The table of statuses does not allow this change."""

    def __init__(self, now: str, wanted: str) -> None:
        super().__init__(f"{now} may not become {wanted}")


class UnknownNode(DomainError):
    """There is no such node."""

    reason = RefusalReason.UNKNOWN_NODE


class StaleGeneration(DomainError):
    """Somebody else changed the node meanwhile."""

    reason = RefusalReason.STALE_GENERATION


class CommandIdReused(DomainError):
    """The same command id came with another body."""

    reason = RefusalReason.COMMAND_ID_REUSED


class NameBusy(DomainError):
    """The name's former owner is still being deleted."""

    reason = RefusalReason.DELETING


class NotBuilt(DomainError):
    """Known, but this version cannot do it."""

    reason = RefusalReason.NOT_BUILT


class CheckpointFault(DomainError):
    """The checkpoint is missing, damaged or does not fit this environment."""


class TransientError(Error):
    """The world was not ready; try again, later each time."""


class BusUnavailable(TransientError):
    """Kafka did not acknowledge in time; the record may or may not have been written."""


class StoreUnavailable(TransientError):
    """Redis or the checkpoint store did not answer in time."""


class ProviderBusy(TransientError):
    """The provider has no capacity now."""


class NotOwner(TransientError):
    """Another process owns this partition now; this one must stop writing to it."""


def said(complaint: str) -> str:
    """What our own validator said, without what pydantic puts before it."""
    return complaint.removeprefix("Value error, ")
