"""`usage`: what instances have cost, and by which prices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from rich.text import Text

from cellnode.cli import words
from cellnode.cli.connection import connected
from cellnode.cli.parameters import HERE, Server, names_of, option
from cellnode.cli.screen import Screen

if TYPE_CHECKING:
    from cellnode.models import UsageItem, UsagePage, UsageSum

By = Literal["node", "type", "hour", "instance"]
GROUPS = {"type": "instance_type"}  # Others are called as the api calls them.
NOTHING = "Nothing is metered in this time; what an instance costs is told within a minute."


def usage(
    *,
    node: Annotated[
        str | None,
        option("Only of this node, gone or not.", completer=names_of("nodes"), metavar="NODE"),
    ] = None,
    by: Annotated[
        By, option("What a line sums up: node (default), type, hour or instance.", metavar="WHAT")
    ] = "node",
    begin: Annotated[
        str | None,
        option(
            "From this hour on, like 2026-01-31 or 2026-01-31T12:00:00Z; default: this month.",
            "--from",
            metavar="WHEN",
        ),
    ] = None,
    end: Annotated[
        str | None, option("Up to the end of this hour; default: now.", "--to", metavar="WHEN")
    ] = None,
    server: Server = HERE,
) -> None:
    """Sum up what instances have cost: metered seconds, and units by the price list.

    An instance is metered from the making of its VM to its end, called or not. Hours are those of
    UTC. What a node costs now is in `cellnode ls`, what an hour of each type costs in `cellnode
    types`.
    """
    screen = Screen(as_json=server.json)
    with connected(server) as client:
        page = client.usage(begin=begin, end=end, node=node, by=GROUPS.get(by, by))
    if screen.as_json:
        return screen.json(page.to_json())
    if not page.items:
        return screen.say(NOTHING)
    screen.table((by.upper(), "SECONDS", "UNITS"), rows(page))
    screen.say("")
    return tell_prices(screen, page)


def rows(page: UsagePage) -> Iterator[tuple[str | Text, str, str]]:
    for item in page.items:
        yield (Text(label(item, page.group_by), "name"), f"{item.seconds:.1f}", cost(item))
    yield (Text("in all", "heading"), f"{page.total.seconds:.1f}", cost(page.total))


def label(item: UsageItem, group: str) -> str:
    if item.hour is not None:
        return f"{item.hour:%Y-%m-%dT%H:%MZ}"
    return str(getattr(item, group))


def cost(spent: UsageSum | UsageItem) -> str:
    """What has no price is named, as it is not for nothing."""
    known = f"{spent.units:.4f}"
    return f"{known} + {spent.unpriced_seconds:.1f} s unpriced" if spent.unpriced_seconds else known


def tell_prices(screen: Screen, page: UsagePage) -> None:
    for price in page.prices:
        if price.units_per_hour is None:
            screen.say(
                (price.instance_type, "wrong"),
                f": {price.seconds:.1f} s without a price: the operator's table of instance types "
                "does not hold it any more",
            )
        else:
            screen.say(f"{price.instance_type}: {words.units(price.units_per_hour)} an hour")
