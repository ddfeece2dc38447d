"""Pins: names for checkpoints, in a project."""

from __future__ import annotations

from aiohttp import web

from schemas.views import PinBody, PinPage, PinView
from services.api.operations import Answer, Call, Operation, PageQuery
from services.api.parts import Parts
from services.api.requests import json_answer
from services.api.store import Store
from services.api.store_books import pin_unknown

TAG = "pins"
PATH = "/v1/pins/{name}"


def operations(parts: Parts) -> list[Operation]:
    return PinRoutes(parts.store).operations()


class PinRoutes:
    """The operations of pins."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def operations(self) -> list[Operation]:
        return [
            Operation(
                "GET",
                "/v1/pins",
                "The pins of a project, by name",
                self._list,
                id="listPins",
                tag=TAG,
                answers=(Answer(200, "A page of them", PinPage),),
                query=PageQuery,
                problems=("store-unavailable",),
            ),
            Operation(
                "PUT",
                PATH,
                "Give a checkpoint a name, or a name another checkpoint",
                self._put,
                id="putPin",
                tag=TAG,
                answers=(
                    Answer(200, "The name means this now", PinView),
                    Answer(201, "The name is new", PinView),
                ),
                body=PinBody,
                problems=("checkpoint-unknown", "store-full", "store-unavailable"),
            ),
            Operation(
                "GET",
                PATH,
                "What a name means, who said so, and what it meant before",
                self._get,
                id="getPin",
                tag=TAG,
                answers=(Answer(200, "The pin", PinView),),
                problems=("pin-unknown", "store-unavailable"),
            ),
            Operation(
                "DELETE",
                PATH,
                "Remove a name; its checkpoint stays",
                self._delete,
                id="deletePin",
                tag=TAG,
                answers=(Answer(204, "It is gone", media_type=""),),
                problems=("pin-unknown", "store-unavailable"),
            ),
        ]

    async def _list(self, call: Call[PageQuery, None]) -> web.Response:
        query = call.query
        return json_answer(await self._store.pins(call.project, query.after, query.limit))

    async def _put(self, call: Call[None, PinBody]) -> web.Response:
        view, is_new = await self._store.put_pin(call.project, call.path["name"], call.body)
        return json_answer(view, 201 if is_new else 200)

    async def _get(self, call: Call[None, None]) -> web.Response:
        pin = await self._store.pin(call.project, call.path["name"])
        if pin is None:
            raise pin_unknown(call.project, call.path["name"])
        return json_answer(pin)

    async def _delete(self, call: Call[None, None]) -> web.Response:
        if not await self._store.remove_pin(call.project, call.path["name"]):
            raise pin_unknown(call.project, call.path["name"])
        return web.Response(status=204)
