"""What the HTTP api answers about usage: metered seconds and what they cost by the price list."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from schemas.ids import InstanceId, NodeName

UsageGroup = Literal["node", "instance_type", "hour", "instance"]


class _UsageView(BaseModel):
    """What we answer: a reader keeps working when fields are added."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class UsageSum(_UsageView):
    """Seconds, and what they cost."""

    seconds: float = Field(ge=0)  # For which instances lived.
    units: float = Field(ge=0)  # By the price list, without the seconds that have no price.
    unpriced_seconds: float = Field(default=0.0, ge=0)  # Of types that the list does not hold.


class UsageItem(UsageSum):
    """One line: what it sums up is what `group_by` asked for."""

    node: NodeName | None = None
    instance_type: str | None = None
    hour: AwareDatetime | None = None  # Its beginning, in UTC.
    instance: InstanceId | None = None


class UsagePrice(_UsageView):
    """A line of the price list: an instance type that was used."""

    instance_type: str
    units_per_hour: float | None = None  # None: the operator's table does not hold it any more.
    seconds: float = Field(default=0.0, ge=0)  # Used of it in this time.


class UsagePage(_UsageView):
    """Metered seconds of a time, in lines, with their sum and the price list that was used."""

    begins_at: AwareDatetime  # A full hour, in UTC.
    ends_at: AwareDatetime  # A full hour; what came after it is not in here.
    group_by: UsageGroup
    items: tuple[UsageItem, ...] = ()
    total: UsageSum  # Of all lines, not of this page alone.
    prices: tuple[UsagePrice, ...] = ()
    told_at: AwareDatetime | None = None  # When anything was last said of this project's usage.
    next: str | None = None
