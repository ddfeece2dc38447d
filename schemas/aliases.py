"""A stable name in front of nodes, with traffic shares."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from schemas.ids import NodeName
from schemas.messages import TableRecord
from schemas.topics import Topic

SHARES_SUM = 100


def _add_up(shares: dict[str, int]) -> dict[str, int]:
    if sum(shares.values()) != SHARES_SUM:
        raise ValueError(f"shares add up to {sum(shares.values())}; they must add up to 100")
    return shares


# Node name -> percent of the traffic.
Shares = Annotated[
    dict[NodeName, Annotated[int, Field(ge=0, le=SHARES_SUM)]],
    Field(min_length=1, max_length=16),
    AfterValidator(_add_up),
]


class Alias(TableRecord):
    """The full state of an alias; `node` is the alias's own name, its nodes are soft references."""

    topic: ClassVar[Topic] = Topic.ALIASES

    kind: Literal["Alias"] = "Alias"
    shares: Shares
    generation: int = Field(ge=1)
