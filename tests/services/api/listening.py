"""A client of Server-Sent Events: raw bytes from a socket, parsed here, nothing of ours."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.services.api.world import Client, eventually


@dataclass
class Told:
    """One event as it arrived."""

    kind: str
    data: dict[str, Any]
    id: str
    at: float  # time.monotonic()

    @property
    def word(self) -> str:
        """Like `digits HEALTHY` or `digits-3fa9c1-1 gone`."""
        who = self.data.get("instance") or self.data.get("node", "")
        what = self.data.get("status") or ("gone" if "Gone" in self.kind else self.kind)
        return f"{who} {what}"


@dataclass
class Listener:
    """What was heard so far."""

    events: list[Told] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    has_ended: bool = False

    @property
    def words(self) -> list[str]:
        return [one.word for one in self.events]

    @property
    def last_id(self) -> str:
        return next(one.id for one in reversed(self.events) if one.id)

    def hear(self, block: bytes) -> None:
        kind, data, id = "", "", ""
        for line in block.decode().split("\n"):
            name, _, value = line.partition(": ")
            if not name:
                self.comments.append(value)
            elif name == "event":
                kind = value
            elif name == "data":
                data = value
            elif name == "id":
                id = value
        if data:
            self.events.append(Told(kind, json.loads(data), id, time.monotonic()))

    async def until(self, is_so: Callable[[Listener], Any], seconds: float = 10.0) -> None:
        await eventually(lambda: is_so(self), seconds)

    async def heard(self, word: str) -> Told:
        await self.until(lambda one: word in one.words)
        return next(one for one in self.events if one.word == word)


@asynccontextmanager
async def listening(
    client: Client, path: str = "/v1/events", **headers: str
) -> AsyncIterator[Listener]:
    """Entered once the stream is open and its first comment was heard."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with client.session.get(client.origin + path, headers=named) as answer:
        assert answer.status == 200, await answer.read()
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        listener = Listener()
        task = asyncio.create_task(_read(answer.content, listener))
        try:
            await listener.until(lambda one: one.comments or one.has_ended)
            yield listener
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def history(client: Client, path: str = "/v1/events", **headers: str) -> Listener:
    """All that is told before the stream ends of itself."""
    joint = "&" if "?" in path else "?"
    async with listening(client, f"{path}{joint}follow=false", **headers) as listener:
        await listener.until(lambda one: one.has_ended)
    return listener


async def _read(content: Any, listener: Listener) -> None:
    data = b""
    async for chunk in content.iter_any():
        data += chunk
        *blocks, data = data.split(b"\n\n")
        for block in blocks:
            listener.hear(block)
    listener.has_ended = True
