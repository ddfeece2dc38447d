"""An instance that answers at once: what the gateway and nginx are measured before."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from typing import cast

import uvloop

ANSWER = b'{"output":{"y":[2,4,6]}}'
EXECUTION_US = 20


class Answering(asyncio.Protocol):
    """Speaks as an agent does, without an interpreter behind it."""

    def __init__(self, instance: str) -> None:
        self._answer = (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            b"Cellnode-Execution-Us: %d\r\nCellnode-Instance: %b\r\nContent-Length: %d\r\n\r\n%b"
        ) % (EXECUTION_US, instance.encode(), len(ANSWER), ANSWER)
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance.

    def data_received(self, data: bytes) -> None:
        data = self._unread + data if self._unread else data
        answers = 0
        while (length := whole_request(data)) is not None:
            data = data[length:]
            answers += 1
        self._unread = data
        self._transport.write(self._answer * answers)


def whole_request(data: bytes) -> int | None:
    """The length of the first request in `data`; None while a part of it is missing."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = data[:end].lower()
    start = head.find(b"\r\ncontent-length:")
    if start < 0:
        return end + 4
    line_end = head.find(b"\r\n", start + 2)
    value = head[start + 17 : line_end if line_end >= 0 else end]
    length = end + 4 + int(value)
    return length if len(data) >= length else None


async def main(pairs: list[str]) -> None:
    """Serve `instance=socket path` pairs until killed."""
    loop = asyncio.get_running_loop()
    for pair in pairs:
        instance, _, path = pair.partition("=")
        await loop.create_unix_server(partial(Answering, instance), path, backlog=512)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    loop = uvloop.new_event_loop()
    loop.run_until_complete(main(sys.argv[1:]))
