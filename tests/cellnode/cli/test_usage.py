"""`cellnode usage`: what was spent, as a table and as JSON; nothing that has no price is free."""

from __future__ import annotations

import json
from typing import Any

import cellnode
from tests.cellnode.cli.terminal import here
from tests.cellnode.site import Site, answer, serving


def spent(**fields: Any) -> dict[str, Any]:
    return {"seconds": 3600.0, "units": 1.0, "unpriced_seconds": 0.0, **fields}


def a_page(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "begins_at": "2026-05-01T00:00:00Z",
        "ends_at": "2026-05-04T13:00:00Z",
        "group_by": "node",
        "items": list(items),
        "total": spent(seconds=5400.5, units=1.5, unpriced_seconds=100.5),
        "prices": [
            {"instance_type": "huge", "units_per_hour": None, "seconds": 100.5},
            {"instance_type": "small", "units_per_hour": 1.0, "seconds": 5300.0},
        ],
        "told_at": None,
        "next": None,
        **more,
    }


def said_by(site: Site, *words: str) -> str:
    ended = here("usage", *words, "--url", site.url)
    assert (ended.code, ended.err) == (0, "")
    return ended.out


def test_a_table_with_the_sum_and_the_prices() -> None:
    items = [spent(node="digits"), spent(node="x", unpriced_seconds=100.5, units=0.5)]
    with serving(answer(a_page(*items))) as site:
        out = said_by(site)

    assert out.splitlines() == [
        "NODE    SECONDS  UNITS",
        "digits  3600.0   1.0000",
        "x       3600.0   0.5000 + 100.5 s unpriced",
        "in all  5400.5   1.5000 + 100.5 s unpriced",
        "",
        "huge: 100.5 s without a price: the operator's table of instance types does not hold it "
        "any more",
        "small: 1 unit an hour",
    ]


def test_what_is_asked_reaches_the_api() -> None:
    hours = spent(hour="2026-05-04T12:00:00Z")
    with serving(answer(a_page(hours, group_by="hour"))) as site:
        out = said_by(site, "--node", "digits", "--by", "hour", "--from", "2026-05-01")
        said_by(site, "--by", "type", "--to", "2026-05-01T12:00:00Z")

    assert out.splitlines()[1].startswith("2026-05-04T12:00Z  3600.0")
    first, second = (one.target for one in site.requests)
    assert "from=2026-05-01&node=digits&group_by=hour" in first
    assert "to=2026-05-01T12%3A00%3A00Z&group_by=instance_type" in second


def test_nothing_spent_is_said_in_words() -> None:
    with serving(answer(a_page())) as site:
        assert said_by(site).startswith("Nothing is metered in this time; ")


def test_all_pages_are_one_in_python_and_in_json() -> None:
    page = a_page(spent(node="a"), next="a")
    rest = a_page(spent(node="b"))
    replies = [answer(one) for one in (page, page, rest)]
    with serving(*replies) as site, cellnode.connect(site.url) as client:
        found = client.usage()
    with serving(*replies) as site:
        told = json.loads(said_by(site, "--json"))

    assert [one.node for one in found.items] == ["a", "b"]
    assert found.next is None
    assert [one["node"] for one in told["items"]] == ["a", "b"]
    assert told["total"]["seconds"] == 5400.5
