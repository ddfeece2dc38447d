"""Very many agents that are always ready, in one process: instance and path a line on the input."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import datetime, timezone
from functools import partial


class ReadyAgent(asyncio.Protocol):
    """Gives every request the same answer."""

    def __init__(self, answer: bytes) -> None:
        self.answer = answer
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(self.answer)


def answer_of(instance: str) -> bytes:
    now = datetime.now(timezone.utc).isoformat()
    names = ("started", "preparing", "ready")
    history = [{"seq": n + 1, "phase": name, "at": now} for n, name in enumerate(names)]
    body = json.dumps({**history[-1], "instance": instance, "history": history}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n"
    head += f"Cellnode-Instance: {instance}\r\n\r\n"
    return head.encode() + body


async def main() -> None:
    loop = asyncio.get_running_loop()
    for line in sys.stdin.read().splitlines():
        instance, path = line.split()
        await loop.create_unix_server(partial(ReadyAgent, answer_of(instance)), path)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
