"""The real process before a real api: blobs of any size pass and are never held."""

from __future__ import annotations

import hashlib
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from tests.services.gateway.apis import Seen, TestApi, serving
from tests.services.gateway.projecting import Projecting
from tests.services.gateway.test_process import address_of, process, ready
from tests.services.gateway.waiting import until
from tests.services.gateway.wire import Wire

MIB = 2**20
BLOB_BYTES = 256 * MIB
HELD_BYTES_MAX = 24 * MIB
PART = bytes(range(256)) * 4096


async def swallows(api: TestApi, request: web.Request, seen: Seen) -> web.StreamResponse:
    digest = hashlib.sha256()
    async for part in request.content.iter_any():
        digest.update(part)
    return web.Response(text=digest.hexdigest())


async def pours(api: TestApi, request: web.Request, seen: Seen) -> web.StreamResponse:
    answer = web.StreamResponse()
    answer.content_length = BLOB_BYTES
    await answer.prepare(request)
    for _ in range(BLOB_BYTES // MIB):
        await answer.write(PART)
    return answer


def memory_bytes_max(pid: int) -> int:
    """The most that the process has ever had."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


@pytest.fixture
async def api(folder: Path) -> AsyncIterator[TestApi]:
    async with serving(TestApi(swallows), folder / "api.sock") as serves:
        yield serves


async def uploaded(wire: Wire) -> bytes:
    head = f"PUT /v1/blobs/a HTTP/1.1\r\nHost: a\r\nContent-Length: {BLOB_BYTES}\r\n\r\n"
    await wire.send(head.encode())
    for _ in range(BLOB_BYTES // MIB):
        await wire.send(PART)
    return (await wire.reply()).body


async def downloaded(wire: Wire) -> bool:
    await wire.send(b"GET /v1/blobs/a HTTP/1.1\r\nHost: a\r\n\r\n")
    await wire.reply(to_head=True)
    parts = [await wire.reader.readexactly(MIB) == PART for _ in range(BLOB_BYTES // MIB)]
    return all(parts)


@pytest.mark.full
async def test_a_large_blob_passes_both_ways_in_little_memory(
    redis_url: str, listener: socket.socket, projecting: Projecting, folder: Path, api: TestApi
) -> None:
    url = f"unix:{folder}/api.sock"
    with process(redis_url, listener, CELLNODE_GATEWAY_API_URL=url) as running:
        await ready(address_of(listener))
        wire = await Wire.to(address_of(listener))
        before = memory_bytes_max(running.pid)
        digest = hashlib.sha256(PART * (BLOB_BYTES // MIB)).hexdigest()
        assert await uploaded(wire) == digest.encode()
        api.behave = pours
        assert await downloaded(wire)
        assert memory_bytes_max(running.pid) - before < HELD_BYTES_MAX
        await wire.close()
        running.send_signal(signal.SIGTERM)
        await until(lambda: running.poll() is not None)
    assert running.returncode == 0
