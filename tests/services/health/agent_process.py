"""A small agent that speaks the real protocol on a Unix socket, and does what its input says.

Run as a process of its own it can be killed, stopped and continued: `<socket> <instance>`, then
lines on standard input, each a JSON object: {"phase": ..., "reason": ...}, {"name": ...} or
{"delay": seconds before every answer}.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit


class SmallAgent:
    """Phases with a history, a long poll, readiness; no interpreter."""

    def __init__(self, instance: str) -> None:
        self.instance = instance
        self.history: list[dict[str, Any]] = []
        self.changed = asyncio.Event()
        self.delay_seconds = 0.0

    def enter(self, phase: str, reason: str | None = None, **evidence: str) -> None:
        seq = len(self.history) + 1
        at = datetime.now(timezone.utc).isoformat()
        entry = {"seq": seq, "phase": phase, "reason": reason, "evidence": evidence, "at": at}
        self.history.append({**entry, "sentence": ""})
        self.changed.set()
        self.changed = asyncio.Event()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                path = head.split(b" ", 2)[1].decode()
                await asyncio.sleep(self.delay_seconds)
                status = await self.status_of(path)
                body = json.dumps(self.body()).encode()
                lines = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n"
                lines += f"Cellnode-Instance: {self.instance}\r\n\r\n"
                writer.write(lines.encode() + body)
        writer.close()

    async def status_of(self, path: str) -> int:
        if path == "/readyz":
            return 200 if self.history and self.history[-1]["phase"] == "ready" else 503
        asked = parse_qs(urlsplit(path).query)
        if len(self.history) <= int(asked["after"][0]):
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self.changed.wait(), int(asked["wait_ms"][0]) / 1000)
        return 200

    def body(self) -> dict[str, Any]:
        last = self.history[-1] if self.history else {"seq": 0, "phase": "started"}
        return {**last, "instance": self.instance, "history": self.history[-20:]}


async def main(path: str, instance: str) -> None:
    agent = SmallAgent(instance)
    server = await asyncio.start_unix_server(agent.answer, path)
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    async with server:
        while line := await lines.readline():
            told = json.loads(line)
            agent.instance = told.pop("name", agent.instance)
            agent.delay_seconds = told.pop("delay", agent.delay_seconds)
            if told:
                agent.enter(told.pop("phase"), told.pop("reason", None), **told)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
