"""Receiving a blob: streamed to the disk, verified on its way, resumable, every wait limited."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass

from aiohttp import ClientError, StreamReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from schemas.views import BlobView
from services.api.operations import BYTES_TYPE
from services.api.problems import ApiProblem
from services.api.settings import ApiSettings
from services.api.store import Arriving, Store

CHUNK_BYTES = 512 * 1024  # Held in memory of one upload, and written at once.
_CONTENT_RANGE = re.compile(r"bytes (\d{1,15})-(\d{1,15})/(\d{1,15})", re.ASCII)


@dataclass(frozen=True)
class Piece:
    """What a request says that it sends."""

    start: int | None = None  # None: the whole blob.
    bytes: int | None = None  # None: as many as come.
    total: int | None = None


class Receiver:
    """Takes blobs in, so many at once."""

    def __init__(self, store: Store, settings: ApiSettings) -> None:
        self._store = store
        self._chunk_seconds_max = settings.chunk_seconds_max
        self._uploads_max = settings.uploads_max
        self._under_way = 0

    async def receive(self, request: web.Request, sha256: str) -> tuple[BlobView, int]:
        """The blob as it stands now, and the status of the answer."""
        piece = piece_of(request)
        if self._under_way >= self._uploads_max:
            raise ApiProblem("too-many-streams", f"{self._uploads_max} uploads are under way")
        self._under_way += 1
        try:
            return await self._receive(request.content, sha256, piece)
        finally:
            self._under_way -= 1

    async def _receive(
        self, content: StreamReader, sha256: str, piece: Piece
    ) -> tuple[BlobView, int]:
        if (size := await self._store.blob_bytes(sha256)) is not None and piece.total in (
            None,
            size,
        ):
            await self._store.touch(sha256)
            await self._discard(content)
            return _view(sha256, size, size), 200
        await self._check_room(piece)
        async with self._store.upload(sha256, piece.start) as arriving:
            await self._take(content, arriving, piece)
            if piece.total is not None and arriving.received < piece.total:
                return _view(sha256, piece.total, arriving.received), 202
            await arriving.finish()
            return _view(sha256, arriving.received, arriving.received), 201

    async def _check_room(self, piece: Piece) -> None:
        """Better refused at once than when the disk is full."""
        free = await self._store.free_bytes()
        wanted = (piece.total or 0) - (piece.start or 0)
        if wanted > free:
            raise ApiProblem(
                "store-full",
                f"{wanted} bytes are to come, the store has room for {free}",
                remedy="remove checkpoints that nobody needs, or give the store more room",
            )

    async def _take(self, content: StreamReader, arriving: Arriving, piece: Piece) -> None:
        """All of the body. What is not as the request says is forgotten again."""
        began = arriving.received
        while data := await self._chunk(content, arriving.received):
            if piece.bytes is not None and arriving.received - began + len(data) > piece.bytes:
                await arriving.back_to(began)
                raise _not_as_said(piece.bytes, "more")
            await arriving.write(data)
        if piece.bytes is not None and arriving.received - began < piece.bytes:
            await arriving.back_to(began)
            raise _not_as_said(piece.bytes, "fewer")

    async def _discard(self, content: StreamReader) -> None:
        """Read on, so that the client gets to our answer."""
        while await self._chunk(content, 0):
            continue

    async def _chunk(self, content: StreamReader, received: int) -> bytes:
        """So many bytes, fewer at the end of the body; or the problem that they do not come."""
        data = bytearray()
        try:
            async with asyncio.timeout(self._chunk_seconds_max):
                while len(data) < CHUNK_BYTES and not content.at_eof():
                    data += await content.read(CHUNK_BYTES - len(data))
        except TimeoutError:
            raise ApiProblem(
                "request-timeout",
                f"{CHUNK_BYTES} bytes did not come within {self._chunk_seconds_max:g} s",
                remedy=f"ask what has arrived of the blob ({received} bytes) and go on there",
                received_bytes=received,
            ) from None
        except (ClientError, HttpProcessingError, ConnectionError) as error:
            sentence = f"the body broke off ({error}) when {received} bytes had arrived"
            raise ApiProblem("bad-request", sentence, received_bytes=received) from None
        return bytes(data)


def piece_of(request: web.Request) -> Piece:
    """What the headers say, if they fit each other."""
    coding = request.headers.get(hdrs.CONTENT_ENCODING, "identity")
    if request.content_type != BYTES_TYPE or coding != "identity":
        raise ApiProblem(
            "unsupported-media-type",
            f"{request.content_type}, {coding} is not taken here",
            remedy=f"send the raw bytes with Content-Type: {BYTES_TYPE}",
        )
    length = request.content_length
    given = request.headers.get(hdrs.CONTENT_RANGE)
    if given is None:
        return Piece(bytes=length, total=length)
    found = _CONTENT_RANGE.fullmatch(given)
    first, last, total = (int(number) for number in found.groups()) if found else (0, 0, 0)
    if not first <= last < total:
        raise _wrong_range(f"{given} is not `bytes <first>-<last>/<all>`")
    size = last - first + 1
    if length is not None and length != size:
        raise _wrong_range(f"{given} means {size} bytes, Content-Length is {length}")
    return Piece(first, size, total)


def _wrong_range(sentence: str) -> ApiProblem:
    remedy = "name the first and the last byte of the piece, and the size of the blob"
    return ApiProblem("invalid-field", sentence, field=hdrs.CONTENT_RANGE, remedy=remedy)


def _not_as_said(said: int, came: str) -> ApiProblem:
    sentence = f"{came} bytes came than the {said} that were announced"
    return ApiProblem("bad-request", sentence, remedy="send exactly what the headers say")


def _view(sha256: str, size: int, received: int) -> BlobView:
    return BlobView(sha256=sha256, bytes=size, received_bytes=received)
