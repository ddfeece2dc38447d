"""What instances have cost: metered seconds, summed up as is asked, by the price list."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any

from aiohttp import web
from pydantic import AwareDatetime, BeforeValidator, Field

from schemas.ids import NodeName
from schemas.instance_types import InstanceType
from schemas.usage import HOUR, HOUR_SECONDS, hour_of
from schemas.usage_views import UsageGroup, UsageItem, UsagePage, UsagePrice, UsageSum
from services.api.nodes import LINK
from services.api.operations import Answer, Call, Operation, PageQuery
from services.api.parts import Parts
from services.api.problems import ApiProblem
from services.api.requests import json_answer, next_page
from services.api.usage_ledger import DETAIL_DAYS, Kind, Ledger, hour_at, hour_number

_FINE = ("hour", "instance")  # What is kept, or told at once, for DETAIL_DAYS only.
_MS_PER_HOUR = HOUR_SECONDS * 1000
_DATE_CHARACTERS = 10
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

Sums = dict[str, dict[str, int]]  # Milliseconds by what is grouped by, and by type.


def _from_date(given: Any) -> Any:
    """A day alone is its beginning, in UTC; a bare number is no moment."""
    if isinstance(given, str) and not _DATE.match(given):
        raise ValueError("write it as 2026-05-01 or 2026-05-01T00:00:00Z")
    is_day = isinstance(given, str) and len(given) == _DATE_CHARACTERS
    return f"{given}T00:00:00Z" if is_day else given


Moment = Annotated[AwareDatetime, BeforeValidator(_from_date)]


class UsageQuery(PageQuery):
    """Which usage."""

    begin: Annotated[
        Moment | None,
        Field(
            alias="from",
            description="From the hour of this moment on, such as 2026-05-01T00:00:00Z or "
            "2026-05-01; without it from the beginning of this month, in UTC.",
        ),
    ] = None
    end: Annotated[
        Moment | None,
        Field(alias="to", description="Up to the end of this moment's hour; without it to now."),
    ] = None
    node: Annotated[NodeName | None, Field(description="Only of this node.")] = None
    group_by: Annotated[
        UsageGroup,
        Field(
            description="What a line sums up. By hour at most "
            f"{DETAIL_DAYS} days are told, by instance the last {DETAIL_DAYS} days."
        ),
    ] = "node"


def operations(parts: Parts) -> list[Operation]:
    return [
        Operation(
            "GET",
            "/v1/usage",
            "What the project's instances have cost",
            Usage(parts).page,
            id="getUsage",
            tag="usage",
            answers=(Answer(200, "A page of lines", UsagePage, headers=(LINK,)),),
            query=UsageQuery,
            problems=("bus-unavailable",),
        )
    ]


class Usage:
    """Reads the ledgers."""

    def __init__(self, parts: Parts) -> None:
        self._reading = parts.usage
        self._clock = parts.clock
        self._types = parts.settings.instance_types

    async def page(self, call: Call[UsageQuery, None]) -> web.Response:
        query = call.query
        begin, end = _asked(query, self._clock.now())
        ledgers = self._reading.ledgers(call.project, query.node)
        sums = _summed(ledgers, call, begin, end)
        keys = sorted(key for key in sums if key > query.after)
        shown = keys[: query.limit]
        after = shown[-1] if len(keys) > query.limit else None
        told = [one.told_at[call.project] for one in ledgers if call.project in one.told_at]
        view = UsagePage(
            begins_at=hour_at(begin),
            ends_at=hour_at(end),
            group_by=query.group_by,
            items=tuple(self._item(query.group_by, key, sums[key]) for key in shown),
            total=_sum(_by_type(sums), self._types),
            prices=tuple(self._prices(_by_type(sums))),
            told_at=max(told, default=None),
            next=after,
        )
        answer = json_answer(view)
        if after is not None:
            answer.headers[LINK.name] = next_page(call.request, after)
        return answer

    def _item(self, group: UsageGroup, key: str, by_type: Mapping[str, int]) -> UsageItem:
        costs = _sum(by_type, self._types).model_dump()
        named: dict[str, Any] = {group: key}
        if group == "instance":
            named["node"], (named["instance_type"],) = key.rsplit("-", 2)[0], by_type
        return UsageItem(**named, **costs)

    def _prices(self, by_type: Mapping[str, int]) -> list[UsagePrice]:
        found = []
        for name in sorted(by_type):
            price = self._types.get(name)
            units = None if price is None else price.units_per_hour
            seconds = by_type[name] / 1000
            found.append(UsagePrice(instance_type=name, units_per_hour=units, seconds=seconds))
        return found


def _asked(query: UsageQuery, now: datetime) -> tuple[int, int]:
    """The hours: the first, and the one after the last."""
    month = now.astimezone(timezone.utc).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    begin, last = query.begin or month, query.end or now
    end = hour_of(last) if last == hour_of(last) else hour_of(last) + HOUR
    if end <= begin:
        raise _wrong("to", "it is before `from`", "ask for a time that has a length")
    detail = timedelta(days=DETAIL_DAYS)
    if query.group_by in _FINE and end - hour_of(begin) > detail + HOUR:
        raise _wrong("from", f"by {query.group_by} at most {DETAIL_DAYS} days are told at once",
                     "ask for less, or group by node or instance_type")  # fmt: skip
    if query.group_by == "instance" and begin < now - detail - HOUR:
        raise _wrong("from", f"instances are remembered for {DETAIL_DAYS} days",
                     "ask for a later time, or group by node")  # fmt: skip
    return hour_number(begin), hour_number(end)


def _wrong(field: str, sentence: str, remedy: str) -> ApiProblem:
    return ApiProblem("invalid-field", f"{field}: {sentence}", field=field, remedy=remedy)


def _summed(ledgers: Sequence[Ledger], call: Call[UsageQuery, None], begin: int, end: int) -> Sums:
    def is_asked(kind: Kind) -> bool:
        return kind.project == call.project and call.query.node in (None, kind.node)

    sums: Sums = defaultdict(lambda: defaultdict(int))
    for ledger in ledgers:
        for key, kind, ms in _told(ledger, call.query.group_by, range(begin, end), is_asked):
            sums[key][kind.instance_type] += ms
    return sums


def _told(
    ledger: Ledger, group: UsageGroup, asked: range, is_asked: Callable[[Kind], bool]
) -> Iterator[tuple[str, Kind, int]]:
    """What is grouped by, whose it is, and milliseconds where there are any.

    Nothing is summed for who has not asked: others' hours are many, and all wait meanwhile.
    """
    if group == "hour":
        for kind, hours in ledger.sums.items():
            if not is_asked(kind):
                continue
            for number, ms in hours.by_hour(asked.start, asked.stop):
                yield hour_at(number).isoformat(), kind, ms
        return
    if group == "instance":
        found = [(key, kind, hours) for key, (kind, hours) in ledger.instances.items()]
    else:
        found = [(getattr(kind, group), kind, hours) for kind, hours in ledger.sums.items()]
    for key, kind, hours in found:
        if is_asked(kind) and (ms := hours.between(asked.start, asked.stop)):
            yield key, kind, ms


def _by_type(sums: Sums) -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    for by_type in sums.values():
        for name, ms in by_type.items():
            found[name] += ms
    return found


def _sum(by_type: Mapping[str, int], types: Mapping[str, InstanceType]) -> UsageSum:
    units = sum(ms * types[name].units_per_hour for name, ms in by_type.items() if name in types)
    unpriced = sum(ms for name, ms in by_type.items() if name not in types)
    return UsageSum(
        seconds=sum(by_type.values()) / 1000,
        units=round(units / _MS_PER_HOUR, 6),
        unpriced_seconds=unpriced / 1000,
    )
