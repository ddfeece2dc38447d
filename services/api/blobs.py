"""Blobs: which the store lacks, and their bytes in both directions, at any size."""

from __future__ import annotations

from aiohttp import hdrs, web

from schemas.http import RECEIVED_BYTES_HEADER
from schemas.views import BlobList, BlobView, MissingBlobs
from services.api.blobs_receiving import Receiver
from services.api.blobs_sending import send
from services.api.operations import BYTES_TYPE, Answer, Call, Header, Operation
from services.api.parts import Parts
from services.api.problems import ApiProblem
from services.api.requests import json_answer
from services.api.store import Store

TAG = "blobs"
PATH = "/v1/blobs/{sha256}"
_RANGE = Header(hdrs.RANGE, "The bytes that are wanted: `bytes=<first>-<last>`.")
_CONTENT_RANGE = Header(
    hdrs.CONTENT_RANGE,
    "A piece of the blob, `bytes <first>-<last>/<all>`; it starts where the one before it ended.",
    r"^bytes [0-9]{1,15}-[0-9]{1,15}/[0-9]{1,15}$",
)
_SENDING = ("range-not-satisfiable", "blob-unknown", "store-unavailable")
_RECEIVING = (
    "digest-mismatch", "length-required", "request-timeout", "store-full", "store-unavailable",
    "too-many-streams", "unsupported-media-type", "upload-conflict",
)  # fmt: skip


def operations(parts: Parts) -> list[Operation]:
    return BlobRoutes(parts.store, Receiver(parts.store, parts.settings)).operations()


class BlobRoutes:
    """The operations of blobs."""

    def __init__(self, store: Store, receiver: Receiver) -> None:
        self._store = store
        self._receiver = receiver

    def operations(self) -> list[Operation]:
        return [self._asking(), self._putting(), *self._getting()]

    def _asking(self) -> Operation:
        return Operation(
            "POST",
            "/v1/blobs:missing",
            "Which of these blobs the store lacks; it keeps the others for a day at least",
            self._missing,
            id="findMissingBlobs",
            tag=TAG,
            answers=(Answer(200, "Those that are to be sent", MissingBlobs),),
            body=BlobList,
            problems=("store-unavailable",),
            has_project=False,
        )

    def _putting(self) -> Operation:
        return Operation(
            "PUT",
            PATH,
            "Send a blob, whole or in pieces one after the other",
            self._put,
            id="putBlob",
            tag=TAG,
            answers=(
                Answer(200, "It was there", BlobView),
                Answer(201, "It is whole and right", BlobView),
                Answer(202, "The piece is here, others lack", BlobView),
            ),
            headers=(_CONTENT_RANGE,),
            body_type=BYTES_TYPE,
            problems=_RECEIVING,
            has_project=False,
        )

    def _getting(self) -> list[Operation]:
        whole = Answer(200, "All of it", media_type=BYTES_TYPE)
        piece = Answer(206, "The bytes of the range", media_type=BYTES_TYPE)
        size = Answer(200, "It is there", media_type="", headers=(Header(hdrs.CONTENT_LENGTH, ""),))
        return [
            Operation(
                method,
                PATH,
                summary,
                handler,
                id=id,
                tag=TAG,
                answers=answers,
                headers=headers,
                problems=_SENDING if method == "GET" else ("blob-unknown", "store-unavailable"),
                has_project=False,
            )
            for method, summary, handler, id, answers, headers in (
                ("GET", "The bytes of a blob", self._get, "getBlob", (whole, piece), (_RANGE,)),
                ("HEAD", "The size of a blob, or what has arrived of it", self._head, "headBlob",
                 (size,), ()),
            )
        ]  # fmt: skip

    async def _missing(self, call: Call[None, BlobList]) -> web.Response:
        return json_answer(MissingBlobs(missing=await self._store.missing(call.body.blobs)))

    async def _put(self, call: Call[None, None]) -> web.Response:
        view, status = await self._receiver.receive(call.request, call.path["sha256"])
        return json_answer(view, status)

    async def _get(self, call: Call[None, None]) -> web.StreamResponse:
        sha256 = call.path["sha256"]
        return await send(call.request, self._store, sha256, await self._size(sha256))

    async def _head(self, call: Call[None, None]) -> web.Response:
        size = await self._size(call.path["sha256"])
        headers = {hdrs.CONTENT_LENGTH: str(size), hdrs.ACCEPT_RANGES: "bytes"}
        return web.Response(headers=headers, content_type=BYTES_TYPE)

    async def _size(self, sha256: str) -> int:
        size = await self._store.blob_bytes(sha256)
        if size is not None:
            return size
        received = await self._store.received_bytes(sha256)
        raise ApiProblem(
            "blob-unknown",
            f"the store has no blob {sha256}; {received} bytes of it have arrived",
            remedy="send it with PUT",
            headers={RECEIVED_BYTES_HEADER: str(received)},
        )
