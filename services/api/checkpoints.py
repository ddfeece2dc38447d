"""Checkpoints: manifests put, read, listed, and removed where nobody refers to them."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from aiohttp import hdrs, web

from schemas.http import BODY_BYTES_MAX
from schemas.views import CheckpointPage, CheckpointRemoved, CheckpointView
from services.api.operations import JSON_TYPE, Answer, Call, Operation, PageQuery
from services.api.parts import Parts
from services.api.problems import ApiProblem
from services.api.projection import Projection
from services.api.requests import json_answer, read_within
from services.api.store_books import checkpoint_unknown

TAG = "checkpoints"
PATH = "/v1/checkpoints/{digest}"
ARRIVING_MAX = 1  # Manifests in memory at once: to verify one takes many times its size.


def operations(parts: Parts) -> list[Operation]:
    return CheckpointRoutes(parts).operations()


class CheckpointRoutes:
    """The operations of checkpoints."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._store = parts.store
        self._arriving = asyncio.Semaphore(ARRIVING_MAX)

    def operations(self) -> list[Operation]:
        return [self._listing(), self._putting(), self._getting(), self._deleting()]

    def _listing(self) -> Operation:
        return Operation(
            "GET",
            "/v1/checkpoints",
            "The checkpoints in the store, the newest first",
            self._list,
            id="listCheckpoints",
            tag=TAG,
            answers=(Answer(200, "A page of them", CheckpointPage),),
            query=PageQuery,
            problems=("store-unavailable",),
            has_project=False,
        )

    def _putting(self) -> Operation:
        return Operation(
            "PUT",
            PATH,
            "Send a manifest whose blobs are all there",
            self._put,
            id="putCheckpoint",
            tag=TAG,
            answers=(
                Answer(200, "It was there", CheckpointView),
                Answer(201, "It is there now", CheckpointView),
            ),
            body_type=JSON_TYPE,
            problems=(
                "blobs-missing", "digest-mismatch", "request-timeout", "request-too-large",
                "store-full", "store-unavailable", "unsupported-media-type",
            ),
            has_project=False,
        )  # fmt: skip

    def _getting(self) -> Operation:
        return Operation(
            "GET",
            PATH,
            "The manifest, byte for byte",
            self._get,
            id="getCheckpoint",
            tag=TAG,
            answers=(Answer(200, "Canonical JSON, whose SHA-256 is the digest"),),
            problems=("checkpoint-unknown", "store-unavailable"),
            has_project=False,
        )

    def _deleting(self) -> Operation:
        return Operation(
            "DELETE",
            PATH,
            "Remove a checkpoint, and those of its blobs that nobody else needs",
            self._delete,
            id="deleteCheckpoint",
            tag=TAG,
            answers=(Answer(200, "What was freed", CheckpointRemoved),),
            problems=(
                "checkpoint-in-use", "checkpoint-unknown", "projection-unavailable",
                "store-unavailable",
            ),
            has_project=False,
        )  # fmt: skip

    async def _list(self, call: Call[PageQuery, None]) -> web.Response:
        return json_answer(await self._store.checkpoints(call.query.after, call.query.limit))

    async def _put(self, call: Call[None, None]) -> web.Response:
        request = call.request
        if request.content_type != JSON_TYPE:
            raise ApiProblem(
                "unsupported-media-type",
                f"{request.content_type} is not taken here",
                remedy=f"send the manifest with Content-Type: {JSON_TYPE}",
            )
        async with self._arriving:
            seconds_max = self._parts.settings.body_seconds_max
            raw = await read_within(request, BODY_BYTES_MAX, seconds_max)
            view, is_new = await self._store.put_checkpoint(call.path["digest"], raw)
        return json_answer(view, 201 if is_new else 200)

    async def _get(self, call: Call[None, None]) -> web.Response:
        digest = call.path["digest"]
        raw = await self._store.manifest(digest)
        if raw is None:
            raise checkpoint_unknown(digest)
        return web.Response(body=raw, content_type=JSON_TYPE, headers={hdrs.ETAG: f'"{digest}"'})

    async def _delete(self, call: Call[None, None]) -> web.Response:
        digest = call.path["digest"]
        nodes = await used_by(digest, self._parts.projection)
        kept = timedelta(seconds=self._parts.settings.blobs_kept_seconds)
        wanted_since = self._parts.clock.now() - kept
        return json_answer(await self._store.remove_checkpoint(digest, nodes, wanted_since))


async def used_by(digest: str, projection: Projection) -> list[str]:
    """`project/node` of the nodes whose spec names it; one that is on its way out needs it no more.

    Raises StoreUnavailable: nobody knows, so nothing may be removed.
    """
    nodes = projection.nodes(await projection.places())
    return [
        one.place
        async for one in nodes
        if one.node.spec.checkpoint == digest and not one.node.deleting
    ]
