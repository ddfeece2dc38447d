"""Server-Sent Events on the wire: frames, comments, keep-alives, and readers that are too slow."""

from __future__ import annotations

import asyncio
import json

from aiohttp import HttpVersion11, hdrs, web

from services.api.event_log import Event, event_of
from services.api.operations import EVENTS_TYPE
from services.api.parts import Parts
from services.api.streams import Reader, present

EVENTS_AT_ONCE = 100  # Looked at before others get a turn.
RETRY_MS = 1_000  # After which a browser connects again.
LINGER_SECONDS = 2.0  # For the last comment to a reader that is stuck.
TOO_SLOW = "too slow: events were not read in time; connect again with Last-Event-ID"
NEW_LOG = "the bus has begun a new log"


class _Stuck(Exception):
    """The reader does not take what is sent."""


class EventStream:
    """One answer of type text/event-stream."""

    def __init__(self, request: web.Request, write_seconds_max: float) -> None:
        self._request = request
        self._seconds = write_seconds_max
        self.response = web.StreamResponse(
            headers={
                hdrs.CONTENT_TYPE: f"{EVENTS_TYPE}; charset=utf-8",
                hdrs.CACHE_CONTROL: "no-store",
                "X-Accel-Buffering": "no",
            }
        )

    @classmethod
    async def opened(cls, request: web.Request, write_seconds_max: float) -> EventStream:
        """With its first comment on the way, so that the reader knows that it listens."""
        stream = cls(request, write_seconds_max)
        await stream.response.prepare(request)
        await stream.write(f"retry: {RETRY_MS}\n".encode() + comment("events follow"))
        return stream

    async def write(self, data: bytes) -> None:
        """Into the connection, whose buffer is small; raises _Stuck where it stays full."""
        try:
            async with asyncio.timeout(self._seconds):
                await self.response.write(data)
        except TimeoutError:
            raise _Stuck from None

    def cut(self) -> None:
        """Past the full buffer, with a last comment for when the reader wakes up soon."""
        transport = self._request.transport
        if transport is None:
            return
        said = comment(TOO_SLOW)
        if self._request.version >= HttpVersion11:
            said = f"{len(said):x}\r\n".encode() + said + b"\r\n"
        transport.write(said)
        transport.close()
        asyncio.get_running_loop().call_later(LINGER_SECONDS, transport.abort)


class Telling:
    """Brings a reader of the log to a stream."""

    def __init__(self, parts: Parts, reader: Reader, stream: EventStream) -> None:
        self._clock = parts.clock
        self._keep_alive_seconds = parts.settings.keep_alive_seconds
        self._tables = parts.news.tables
        self._streams = parts.streams
        self._reader = reader
        self._stream = stream
        self._quiet_since = self._clock.monotonic()

    async def until(self, end: int | None, why_reset: str) -> None:
        """Up to the event of that number; without one, until the process or the reader ends."""
        try:
            if why_reset:
                await self._reset(why_reset)
            await self._follow(end)
        except _Stuck:
            self._stream.cut()

    async def _follow(self, end: int | None) -> None:
        reader = self._reader
        while end is None or reader.number < end:
            if self._streams.is_stopping:
                return await self._write(comment("the api stops; connect again"))
            if reader.is_outlived:
                await self._reset(NEW_LOG)
            elif reader.is_lost:
                return await self._write(comment(TOO_SLOW))
            elif reader.is_done:
                await self._wait()
            else:
                await self._some()

    async def _some(self) -> None:
        frames = [frame(event, id) for id, event in self._reader.take(EVENTS_AT_ONCE)]
        if frames:
            await self._write(b"".join(frames))
        await asyncio.sleep(0)

    async def _wait(self) -> None:
        """For news; a reader that hears nothing for long is told that we are there."""
        left = self._quiet_since + self._keep_alive_seconds - self._clock.monotonic()
        if left <= 0:
            return await self._write(comment("keep-alive"))
        try:
            async with asyncio.timeout(left):
                await self._reader.log.news()
        except TimeoutError:
            pass

    async def _reset(self, why: str) -> None:
        """The position comes with the last of it: who is cut off in between starts over."""
        reader = self._reader
        reader.from_now()
        id = reader.id
        numbers = sorted({number for _, number in reader.sources})
        state = present(self._tables, reader.filter, numbers)
        said = json.dumps({"sentence": f"{why}; what follows is the whole present state"})
        await self._write(_frame("reset", said.encode(), "" if state else id))
        for start in range(0, len(state), EVENTS_AT_ONCE):
            some = state[start : start + EVENTS_AT_ONCE]
            is_last = start + EVENTS_AT_ONCE >= len(state)
            frames = [frame(event_of(source, entry)) for source, entry in some[:-1]]
            frames.append(frame(event_of(*some[-1]), id if is_last else ""))
            await self._write(b"".join(frames))

    async def _write(self, data: bytes) -> None:
        await self._stream.write(data)
        self._quiet_since = self._clock.monotonic()


def comment(text: str) -> bytes:
    return f": {text}\n\n".encode()


def frame(event: Event, id: str = "") -> bytes:
    return _frame(event.kind, event.data, id)


def _frame(kind: str, data: bytes, id: str) -> bytes:
    named = f"id: {id}\n" if id else ""
    return f"{named}event: {kind}\ndata: ".encode() + data + b"\n\n"
