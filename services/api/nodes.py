"""Nodes as they are: one by its name, or a page of them."""

from __future__ import annotations

from typing import Annotated, Any

from aiohttp import web
from pydantic import Field

from schemas.ids import place_of
from schemas.statuses import NodeStatus
from schemas.views import NodePage, NodeView
from services.api.operations import Answer, Call, Header, Operation, PageQuery
from services.api.parts import Parts
from services.api.problems import ApiProblem
from services.api.requests import json_answer, next_page

ETAG = Header("ETag", "The node's generation, for If-Match.")
LINK = Header("Link", "The next page, where there is more.")
READ_AT_ONCE = 200  # Where a status is asked for, so many are looked through at a time.


class NodesQuery(PageQuery):
    """Which nodes."""

    status: Annotated[NodeStatus | None, Field(description="Only those in this status.")] = None


def operations(parts: Parts) -> list[Operation]:
    routes = Nodes(parts)
    return [
        Operation(
            "GET",
            "/v1/nodes",
            "The nodes of the project, by name",
            routes.page,
            id="listNodes",
            tag="nodes",
            answers=(Answer(200, "A page of them", NodePage, headers=(LINK,)),),
            query=NodesQuery,
            problems=("projection-unavailable",),
        ),
        Operation(
            "GET",
            "/v1/nodes/{node}",
            "A node: what is wanted of it, how it is, and why",
            routes.one,
            id="getNode",
            tag="nodes",
            answers=(Answer(200, "The node", NodeView, headers=(ETAG,)),),
            problems=("node-unknown", "projection-unavailable"),
        ),
    ]


def node_answer(view: NodeView) -> web.Response:
    return json_answer(view, headers={ETAG.name: f'"{view.generation}"'})


class Nodes:
    """Reads the projection."""

    def __init__(self, parts: Parts) -> None:
        self._projection = parts.projection
        self._types = parts.settings.instance_types

    async def one(self, call: Call[None, None]) -> web.Response:
        records = await self._projection.node(place_of(call.project, call.node))
        if records is None:
            raise unknown(call)
        return node_answer(records.view(self._types))

    async def page(self, call: Call[NodesQuery, None]) -> web.Response:
        query = call.query
        names = [one for one in await self._projection.names(call.project) if one > query.after]
        found = await self._fitting(call, names)
        page = tuple(found[: query.limit])
        after = page[-1].node if len(found) > query.limit else None
        answer = json_answer(NodePage(nodes=page, next=after))
        if after is not None:
            answer.headers[LINK.name] = next_page(call.request, after)
        return answer

    async def _fitting(self, call: Call[NodesQuery, None], names: list[str]) -> list[NodeView]:
        """One more than the page holds, so that it is known whether there is more."""
        wanted, status = call.query.limit + 1, call.query.status
        found: list[NodeView] = []
        step = READ_AT_ONCE if status is not None else wanted
        for start in range(0, len(names), step):
            places = [place_of(call.project, name) for name in names[start : start + step]]
            async for records in self._projection.nodes(places):
                now = None if records.status is None else records.status.status
                if status in (None, now):
                    found.append(records.view(self._types))
                if len(found) == wanted:
                    return found
        return found


def unknown(call: Call[Any, Any]) -> ApiProblem:
    return ApiProblem(
        "node-unknown",
        f"there is no node {place_of(call.project, call.node)}",
        field="node",
        remedy="deploy it first, or name its project in Cellnode-Project",
    )
