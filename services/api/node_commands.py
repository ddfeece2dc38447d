"""What can be asked of a node: each becomes a command on the bus, and may be waited for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal
from uuid import UUID

from aiohttp import web
from pydantic import Field

from schemas.commands import (
    Command,
    DeleteNode,
    DeployNode,
    RecreateNode,
    ResetNode,
    ResumeNode,
    ScaleNode,
    SuspendNode,
)
from schemas.specs import NodeSpec
from schemas.views import (
    WAIT_SECONDS,
    WAIT_SECONDS_MAX,
    CommandView,
    NodeView,
    NodeWish,
    Scaling,
)
from services.api.command_views import outcome_view, view_of
from services.api.nodes import ETAG, node_answer
from services.api.operations import Answer, Call, Header, Operation, Query
from services.api.parts import Parts
from services.api.problems import ApiProblem
from services.api.publishing import HEADERS, HEADERS_OF_APPLY, PROBLEMS_OF_COMMANDS
from services.api.requests import json_answer
from services.api.verdicts import Goal

LOCATION = Header("Location", "Where the command's outcome will be.")


class _Wait(Query):
    timeout_seconds: Annotated[
        float, Field(ge=0, le=WAIT_SECONDS_MAX, description="How long is waited at most.")
    ] = WAIT_SECONDS

    @property
    def goal(self) -> Goal | None:
        wait = getattr(self, "wait", None)
        return None if wait is None else Goal(wait)


_WAIT = Field(description="Answer only when this is so; without it: 202 at once.")


class WaitHealthy(_Wait):
    wait: Annotated[Literal["ACCEPTED", "HEALTHY"] | None, _WAIT] = None


class WaitSuspended(_Wait):
    wait: Annotated[Literal["ACCEPTED", "SUSPENDED"] | None, _WAIT] = None


class WaitAccepted(_Wait):
    """Always: its outcome is there in milliseconds, and says what this version cannot do."""

    wait: Annotated[Literal["ACCEPTED"], Field(description="It is always waited for.")] = "ACCEPTED"


class WaitGone(_Wait):
    wait: Annotated[Literal["ACCEPTED", "GONE"] | None, _WAIT] = None


def operations(parts: Parts) -> list[Operation]:
    routes = NodeCommands(parts)
    return [
        Operation(
            "PUT",
            "/v1/nodes/{node}",
            "Apply a spec: make the node, change it, or find it as wanted",
            routes.apply,
            id="applyNode",
            tag="nodes",
            answers=_answers(NodeView),
            query=WaitHealthy,
            headers=HEADERS_OF_APPLY,
            body=NodeWish,
            problems=(
                *PROBLEMS,
                "pin-unknown",
                "checkpoint-unknown",
                "store-unavailable",
            ),
        ),
        Operation(
            "DELETE",
            "/v1/nodes/{node}",
            "Remove the node and everything it has",
            routes.delete,
            id="deleteNode",
            tag="nodes",
            answers=_answers(CommandView),
            query=WaitGone,
            headers=HEADERS,
            problems=PROBLEMS,
        ),
        Operation(
            "POST",
            "/v1/nodes/{node}:scale",
            "Change how many instances are wanted",
            routes.scale,
            id="scaleNode",
            tag="nodes",
            answers=_answers(NodeView),
            query=WaitHealthy,
            headers=HEADERS,
            body=Scaling,
            problems=PROBLEMS,
        ),
        *(_plain(routes, *one) for one in _PLAIN),
    ]


PROBLEMS = (
    *PROBLEMS_OF_COMMANDS,
    "projection-unavailable",
    "node-unhealthy",
    "node-deleting",
    "too-many-streams",
    "wait-timeout",
)
_PLAIN: tuple[tuple[str, str, type[Command], type[_Wait]], ...] = (
    ("suspend", "Stop all instances, keep the spec", SuspendNode, WaitSuspended),
    ("resume", "Start a suspended node again", ResumeNode, WaitHealthy),
    ("recreate", "Make every instance anew, new ones before old ones", RecreateNode, WaitHealthy),
    ("reset", "Bring the pinned state back in place", ResetNode, WaitAccepted),
)


def _plain(
    routes: NodeCommands, verb: str, summary: str, command: type[Command], /, *rest: Any
) -> Operation:
    return Operation(
        "POST",
        f"/v1/nodes/{{node}}:{verb}",
        summary,
        routes.plain(command),
        id=f"{verb}Node",
        tag="nodes",
        answers=_answers(NodeView)[: 1 if rest[0] is WaitAccepted else None],
        query=rest[0],
        headers=HEADERS,
        problems=PROBLEMS,
    )


def _answers(model: Any) -> tuple[Answer, ...]:
    return (
        Answer(200, "What was waited for is so", model, headers=(ETAG,)),
        Answer(202, "The command is on the bus", CommandView, headers=(LOCATION,)),
    )


class NodeCommands:
    """Validates, publishes, waits."""

    def __init__(self, parts: Parts) -> None:
        self._store = parts.store
        self._types = parts.settings.instance_types
        self._publishing = parts.publishing
        self._waiting = parts.waiting
        self._clock = parts.clock

    async def apply(self, call: Call[WaitHealthy, NodeWish]) -> web.Response:
        wish = call.body
        if wish.instance_type not in self._types:
            raise ApiProblem(
                "invalid-field",
                f"instance_type: there is no {wish.instance_type!r}",
                field="instance_type",
                remedy=f"use one of {', '.join(self._types)}",
            )
        digest = await self._store.resolve(call.project, wish.checkpoint)
        given = wish.model_dump(by_alias=True, exclude_unset=True)
        spec = NodeSpec.model_validate({**given, "checkpoint": digest})
        return await self._done(call, DeployNode(**self._publishing.asked(call), spec=spec))

    async def scale(self, call: Call[WaitHealthy, Scaling]) -> web.Response:
        body = call.body
        if body.min is not None and body.min > body.want:
            raise ApiProblem(
                "invalid-field",
                f"min ({body.min}) is more than want ({body.want})",
                field="min",
                remedy="make it at most `want`",
            )
        asked = self._publishing.asked(call)
        return await self._done(call, ScaleNode(**asked, want=body.want, min=body.min))

    async def delete(self, call: Call[WaitGone, None]) -> web.Response:
        command = DeleteNode(**self._publishing.asked(call))
        if call.query.goal is None:
            return await self._sent(command)
        deadline = self._clock.monotonic() + call.query.timeout_seconds
        with self._waiting.counted():
            uid = await self._uid(command)
            accepted = await self._waiting.accepted(command, call.query.timeout_seconds)
            if call.query.goal is Goal.GONE:
                left = max(0.0, deadline - self._clock.monotonic())
                await self._waiting.reached(accepted, Goal.GONE, left, uid=uid)
        return json_answer(outcome_view(accepted))

    def plain(self, kind: type[Command]) -> Callable[[Call[Any, Any]], Any]:
        """The handler of a command that has no fields of its own."""

        async def handler(call: Call[_Wait, None]) -> web.Response:
            return await self._done(call, kind(**self._publishing.asked(call)))

        return handler

    async def _done(self, call: Call[Any, Any], command: Command) -> web.Response:
        """202 at once, or the node when what is waited for is so."""
        query: _Wait = call.query
        if query.goal is None:
            return await self._sent(command)
        deadline = self._clock.monotonic() + query.timeout_seconds
        with self._waiting.counted():
            accepted = await self._waiting.accepted(command, query.timeout_seconds)
            left = max(0.0, deadline - self._clock.monotonic())
            view = await self._waiting.reached(accepted, query.goal, left)
        assert view is not None, "only GONE has none"
        return node_answer(view)

    async def _sent(self, command: Command) -> web.Response:
        outcome = self._publishing.known(command)
        if outcome is None:
            await self._publishing.publish(command)
        view = view_of(outcome or command)
        return json_answer(view, 202, {LOCATION.name: f"/v1/commands/{command.id}"})

    async def _uid(self, command: Command) -> UUID | None:
        seen = await self._waiting.view(command.place)
        return None if seen is None else seen.uid
