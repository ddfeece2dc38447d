"""What every record carries: identity, place (partition), key (compaction) and order."""

from __future__ import annotations

from typing import ClassVar
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from schemas.ids import DEFAULT_PROJECT, NodeName, ProjectName, place_of
from schemas.topics import Topic

TERM_HEADER = "cellnode-term"
SEQ_HEADER = "cellnode-seq"


class Message(BaseModel):
    """A record on a topic. `project/node` picks the partition, in every topic alike."""

    model_config = ConfigDict(frozen=True)

    topic: ClassVar[Topic]

    project: ProjectName = DEFAULT_PROJECT
    node: NodeName

    @property
    def place(self) -> str:
        """What the partition is chosen by."""
        return place_of(self.project, self.node)

    @property
    def key(self) -> str:
        """What compaction keeps the last record of."""
        return self.place


class Event(Message):
    """A fact. An old reader keeps the fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="allow")

    id: UUID  # Fixed before the first send, so a repeat is recognised.
    at: AwareDatetime


class TableRecord(Event):
    """The full state of a key. Of two records of one key the larger (term, seq) wins."""

    term: int = Field(default=0, ge=0)  # Of the partition's owner when it wrote this.
    seq: int = Field(default=0, ge=0)  # Counts that owner's records on that partition.

    @property
    def order(self) -> tuple[int, int]:
        return (self.term, self.seq)
