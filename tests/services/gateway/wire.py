"""A client that writes and reads raw bytes, so that nothing is mended on the way."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

WAIT_SECONDS = 15.0


@dataclass
class Reply:
    """One answer of the gateway."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.body)
        return told

    @property
    def code(self) -> str:
        return str(self.problem["code"])


class Wire:
    """One connection to the gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, address: str) -> Wire:
        host, _, port = address.rpartition(":")
        return cls(*await asyncio.open_connection(host, int(port), limit=2**20))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self, *, to_head: bool = False) -> Reply:
        return await asyncio.wait_for(self._reply(to_head), WAIT_SECONDS)

    async def call(self, node: str, body: bytes = b"{}", **headers: str) -> Reply:
        await self.send(request(node, body, **headers))
        return await self.reply()

    async def is_closed(self) -> bool:
        """Whether the gateway closes the connection without another byte."""
        try:
            return await asyncio.wait_for(self.reader.read(1), WAIT_SECONDS) == b""
        except ConnectionError:
            return True

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            return

    def abort(self) -> None:
        self.writer.transport.abort()

    async def _reply(self, to_head: bool) -> Reply:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        line, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, value in (one.split(": ", 1) for one in lines)}
        status = int(line.split()[1])
        if status == 100 or to_head:
            return Reply(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Reply(status, headers, await self._chunks())
        return Reply(status, headers, await self.reader.readexactly(int(headers["content-length"])))

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self.reader.readline(), 16):
            body += (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readexactly(2)
        return body


def request(node: str, body: bytes = b"{}", **headers: str) -> bytes:
    """A well-formed call; `idempotency_key=` becomes the header Idempotency-Key."""
    lines = [f"POST /v1/nodes/{node}:execute HTTP/1.1", "Host: test"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body
