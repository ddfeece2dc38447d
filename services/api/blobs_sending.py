"""Sending a blob: streamed from the disk, whole or a range, to a client that reads."""

from __future__ import annotations

import asyncio
import re

from aiohttp import hdrs, web

from services.api.operations import BYTES_TYPE
from services.api.problems import ApiProblem
from services.api.store import Store
from services.chassis.telemetry import logger

CHUNK_BYTES = 512 * 1024
WRITE_SECONDS_MAX = 30.0  # For the client to take one chunk.
log = logger("api.blobs")
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})", re.ASCII)


async def send(request: web.Request, store: Store, sha256: str, size: int) -> web.StreamResponse:
    """The answer, once the client has all of it."""
    wanted = range_of(request, sha256, size)
    response = web.StreamResponse(
        status=200 if wanted is None else 206,
        headers={
            hdrs.CONTENT_TYPE: BYTES_TYPE,
            hdrs.ACCEPT_RANGES: "bytes",
            hdrs.ETAG: f'"{sha256}"',
        },
    )
    start, end = wanted or (0, size)
    response.content_length = end - start
    if wanted is not None:
        response.headers[hdrs.CONTENT_RANGE] = f"bytes {start}-{end - 1}/{size}"
    await response.prepare(request)
    try:
        await _stream(response, store, sha256, (start, end))
    except (ApiProblem, TimeoutError, ConnectionError) as error:
        # It has been promised so many bytes: only a broken connection says that they do not come.
        log.warning("a blob was not sent to its end", sha256=sha256, error=str(error))
        if request.transport is not None:
            request.transport.abort()
    return response


async def _stream(
    response: web.StreamResponse, store: Store, sha256: str, wanted: tuple[int, int]
) -> None:
    start, end = wanted
    while start < end:
        data = await store.read(sha256, start, min(CHUNK_BYTES, end - start))
        if not data:
            raise ApiProblem("store-unavailable", "the blob became shorter while it was sent")
        async with asyncio.timeout(WRITE_SECONDS_MAX):
            await response.write(data)
        start += len(data)
    await response.write_eof()


def range_of(request: web.Request, sha256: str, size: int) -> tuple[int, int] | None:
    """First byte and the one after the last; None where the whole blob is to be sent."""
    found = _RANGE.fullmatch(request.headers.get(hdrs.RANGE, ""))
    if found is None or request.headers.get(hdrs.IF_RANGE, f'"{sha256}"') != f'"{sha256}"':
        return None
    first, last = found.groups()
    if not first and not last:
        return None
    if not first:  # The last so many bytes.
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1 if last else size)
    if start >= end:
        raise ApiProblem(
            "range-not-satisfiable",
            f"the blob has {size} bytes",
            remedy="ask for bytes that it has",
            headers={hdrs.CONTENT_RANGE: f"bytes */{size}"},
        )
    return start, end
