"""Commands and what became of them: one by its id, or the latest."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from aiohttp import web
from pydantic import Field

from schemas.ids import NodeName
from schemas.views import CommandPage, CommandView
from services.api.command_views import view_of
from services.api.operations import Answer, Call, Operation, PageQuery
from services.api.parts import Parts
from services.api.problems import ApiProblem
from services.api.requests import json_answer

Place = tuple[datetime, str]  # Of a command in the list.


class CommandsQuery(PageQuery):
    """Which commands."""

    node: Annotated[NodeName | None, Field(description="Only those for this node.")] = None


def operations(parts: Parts) -> list[Operation]:
    routes = Commands(parts)
    return [
        Operation(
            "GET",
            "/v1/commands/{id}",
            "A command and what became of it",
            routes.one,
            id="getCommand",
            tag="commands",
            answers=(Answer(200, "The command", CommandView),),
            problems=("command-unknown", "bus-unavailable"),
        ),
        Operation(
            "GET",
            "/v1/commands",
            "The latest commands, the newest first",
            routes.page,
            id="listCommands",
            tag="commands",
            answers=(Answer(200, "A page of them", CommandPage),),
            query=CommandsQuery,
            problems=("bus-unavailable",),
        ),
    ]


class Commands:
    """Reads outcomes from memory, where a consumer keeps the latest."""

    def __init__(self, parts: Parts) -> None:
        self._news = parts.news

    async def one(self, call: Call[None, None]) -> web.Response:
        self._news.check_read()
        id = UUID(call.path["id"])
        known = self._news.outcomes.find(id) or self._news.outcomes.pending(id)
        if known is None or known.project != call.project:
            raise ApiProblem(
                "command-unknown",
                f"no command {id} of project {call.project} is known here; old ones are forgotten",
                remedy="look at the node itself, or send the request again",
            )
        return json_answer(view_of(known))

    async def page(self, call: Call[CommandsQuery, None]) -> web.Response:
        self._news.check_read()
        query = call.query
        wanted = [
            one
            for one in map(view_of, self._news.outcomes.all())
            if one.project == call.project and query.node in (None, one.node)
        ]
        if query.after:
            after = _read(query.after)
            wanted = [one for one in wanted if _place(one) < after]
        wanted.sort(key=_place, reverse=True)
        page, more = wanted[: query.limit], len(wanted) > query.limit
        next_after = _written(page[-1]) if more else None
        return json_answer(CommandPage(commands=tuple(page), next=next_after))


def _place(one: CommandView) -> Place:
    return one.at, str(one.id)


def _written(one: CommandView) -> str:
    return f"{one.at.isoformat()}_{one.id}"


def _read(after: str) -> Place:
    at, _, id = after.partition("_")
    try:
        moment, command = datetime.fromisoformat(at), str(UUID(id))
        moment.astimezone()
    except (ValueError, OverflowError):
        moment, command = datetime.min, ""
    if moment.tzinfo is None:
        raise ApiProblem(
            "invalid-field",
            f"after: {after!r} is not the `next` of a page",
            field="after",
            remedy="use the `next` of the page before",
        )
    return moment, command
