"""Marks that the owner of a partition leaves in its tables, and the rule of which record wins."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

OWNER_KEY = "~owner"
COMPLETE_KEY = "~complete"


class Owner(BaseModel):
    """Written by whoever takes over a partition, before it acts: smaller terms lose then."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: Literal["Owner"] = "Owner"
    term: int = Field(ge=1)
    owner: str  # The process that took over.
    log: str  # One life of this partition's offsets.
    at: AwareDatetime


class Complete(BaseModel):
    """Ends a whole republication: every key of the table stands between `~owner` and this."""

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: Literal["Complete"] = "Complete"
    term: int = Field(ge=1)
    log: str
    at: AwareDatetime


def wins(candidate: tuple[int, int], known: tuple[int, int] | None, term: int) -> bool:
    """Whether a record of order (term, seq) replaces what is known of its key.

    `term` is the largest that an owner's mark before the record has shown.
    """
    return candidate[0] >= term and (known is None or candidate > known)
