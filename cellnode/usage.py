"""What instances have cost: all pages of the api's answer as one."""

from __future__ import annotations

import dataclasses
from datetime import date

from cellnode.models import UsageItem, UsagePage
from cellnode.origin import Origin, path_of

PAGE_LINES = 1000

When = str | date | None  # A datetime is a date, too.


def usage(
    origin: Origin, *, begin: When = None, end: When = None, node: str | None = None, by: str
) -> UsagePage:
    """Lines, their sum and the price list; `next` is None, as nothing is left out."""
    params = {
        "from": _told(begin),
        "to": _told(end),
        "node": node,
        "group_by": by,
        "limit": str(PAGE_LINES),
    }
    page = UsagePage.from_json(origin.get(path_of("usage"), params))
    if page.next is None:
        return page
    items = origin.pages(path_of("usage"), "items", params)
    found = tuple(UsageItem.from_json(one) for one in items)
    return dataclasses.replace(page, items=found, next=None)


def _told(when: When) -> str | None:
    return when.isoformat() if isinstance(when, date) else when
