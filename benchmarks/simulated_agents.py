"""Agents of simulated instances: each listens on a socket of its own and answers as a real one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs

import httptools

from schemas import http as names

STEPS = (("started", "CONTACT", 0.0), ("preparing", "LOADING", 0.01), ("ready", "READY", 0.03))
REASONS = {200: "OK", 404: "Not Found", 421: "Misdirected Request", 503: "Service Unavailable"}


class Agent:
    """One instance: its phases go by by themselves until it is ready."""

    def __init__(self, instance: str, path: Path) -> None:
        self.instance = instance
        self.endpoint = f"unix:{path}"
        self.executions = 0
        self._path = path
        self._history: list[dict[str, Any]] = []
        self._listeners: set[Callable[[], None]] = set()
        self._connections: set[AgentProtocol] = set()
        self._timers: list[asyncio.TimerHandle] = []
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_unix_server(lambda: AgentProtocol(self), str(self._path))
        for phase, reason, seconds in STEPS:
            self._timers.append(loop.call_later(seconds, self._enter, phase, reason))

    def end(self) -> None:
        """As SIGKILL does it: nobody listens any more, every connection breaks."""
        for timer in self._timers:
            timer.cancel()
        if self._server is not None:
            self._server.close()
        self._path.unlink(missing_ok=True)
        for connection in list(self._connections):
            connection.abort()

    def met(self, connection: AgentProtocol) -> None:
        self._connections.add(connection)

    def lost(self, connection: AgentProtocol) -> None:
        self._connections.discard(connection)

    def answer(self, connection: AgentProtocol, method: str, url: str) -> None:
        path, _, query = url.partition("?")
        if path == "/phase":
            self._tell_phase(connection, parse_qs(query))
        elif path == "/readyz":
            connection.respond(200 if self._is_ready else 503, self._document())
        elif path == "/livez":
            connection.respond(200, {"instance": self.instance})
        elif path == "/execute" and method == "POST":
            self._execute(connection)
        else:
            connection.respond(404, {})

    @property
    def _is_ready(self) -> bool:
        return len(self._history) == len(STEPS)

    @property
    def _seq(self) -> int:
        return len(self._history)

    def _execute(self, connection: AgentProtocol) -> None:
        """The cell of every simulated instance says who it is."""
        if connection.addressed not in ("", self.instance):
            connection.respond(421, {"code": "wrong-instance"}, not_executed=True)
        elif not self._is_ready:
            connection.respond(503, {"code": "not-ready"}, not_executed=True)
        else:
            self.executions += 1
            connection.respond(200, {"output": {"instance": self.instance}})

    def _enter(self, phase: str, reason: str) -> None:
        at = datetime.now(timezone.utc).isoformat()
        told = {"phase": phase, "reason": reason, "sentence": "", "evidence": {}, "at": at}
        self._history.append({"seq": self._seq + 1, **told})
        for listener in list(self._listeners):
            listener()

    def _document(self) -> dict[str, Any]:
        last = self._history[-1] if self._history else {"seq": 0, "phase": ""}
        return {"instance": self.instance, **last, "history": self._history}

    def _tell_phase(self, connection: AgentProtocol, query: dict[str, list[str]]) -> None:
        after, wait_ms = int(query["after"][-1]), int(query["wait_ms"][-1])
        if self._seq > after or not wait_ms:
            connection.respond(200, self._document())
            return

        def tell() -> None:
            timer.cancel()
            self._listeners.discard(tell)
            connection.respond(200, self._document())

        timer = asyncio.get_running_loop().call_later(wait_ms / 1000, tell)
        self._listeners.add(tell)


class AgentProtocol(asyncio.Protocol):
    """A connection of health or of a gateway."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._url = b""
        self.addressed = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._agent.met(self)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._agent.lost(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._url, self.addressed = b"", ""

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == names.INSTANCE_HEADER.lower().encode():
            self.addressed = value.decode()

    def on_message_complete(self) -> None:
        self._agent.answer(self, self._parser.get_method().decode(), self._url.decode())

    def respond(self, status: int, body: dict[str, Any], *, not_executed: bool = False) -> None:
        if self._transport is None:
            return
        content = json.dumps(body).encode()
        proof = f"{names.NOT_EXECUTED_HEADER}: true\r\n" if not_executed else ""
        head = (
            f"HTTP/1.1 {status} {REASONS[status]}\r\nContent-Type: application/json\r\n"
            f"{names.INSTANCE_HEADER}: {self._agent.instance}\r\n"
            f"{names.EXECUTION_US_HEADER}: 100\r\n{proof}Content-Length: {len(content)}\r\n\r\n"
        )
        self._transport.write(head.encode() + content)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
