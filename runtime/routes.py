"""The agent's paths: execute, phase, logs, probes and metrics."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

from runtime.connection import Connection
from runtime.exchange import Exchange
from runtime.executions import Executions
from runtime.instance import Instance
from runtime.log_reading import LogReaders
from runtime.logs import Log
from runtime.metrics import Metrics
from runtime.phases import Phases
from schemas import http as names

WAIT_MS_MAX = 30_000
TEXT = b"Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"


class AgentRoutes:
    """Dispatches on method and path; only `POST /execute` reaches the interpreter."""

    def __init__(
        self,
        instance: Instance,
        phases: Phases,
        metrics: Metrics,
        executions: Executions,
        *,
        log: Log,
    ) -> None:
        self.instance = instance
        self.phases = phases
        self.metrics = metrics
        self.executions = executions
        self.identity = f"{names.INSTANCE_HEADER}: {instance.id}\r\n".encode()
        self.body_bytes_max = instance.body_bytes_max
        self.connections: set[Connection] = set()
        self.reads: dict[bytes, Callable[[Exchange], None]] = {
            b"/phase": self._phase,
            b"/livez": self._livez,
            b"/readyz": self._readyz,
            b"/metrics": self._metrics,
            b"/logs": LogReaders(log).handle,
        }

    def handle(self, exchange: Exchange) -> None:
        path = exchange.url.partition(b"?")[0]
        if path == b"/execute" and exchange.method == b"POST":
            self.executions.submit(exchange)
        elif path in self.reads and exchange.method == b"GET":
            self.reads[path](exchange)
        elif path == b"/execute" or path in self.reads:
            exchange.refuse("method-not-allowed", "POST /execute; GET for the others")
        else:
            exchange.refuse("not-found", "execute, phase, logs, livez, readyz and metrics are here")

    def document(self) -> dict[str, Any]:
        executions = self.executions
        return {
            "instance": self.instance.id,
            **self.phases.document(),
            "waiting": executions.waiting_count,
            "running": bool(executions.sent),
            "executions": sum(self.metrics.executions.values()),
        }

    def _livez(self, exchange: Exchange) -> None:
        exchange.respond_json(200, {"instance": self.instance.id})

    def _readyz(self, exchange: Exchange) -> None:
        exchange.respond_json(200 if self.phases.is_ready else 503, self.document())

    def _metrics(self, exchange: Exchange) -> None:
        gauges = {
            "waiting": self.executions.waiting_count,
            "running": int(bool(self.executions.sent)),
            "ready": int(self.phases.is_ready),
            "connections": len(self.connections),
        }
        exchange.respond(200, self.metrics.text(self.instance.id, gauges).encode(), TEXT)

    def _phase(self, exchange: Exchange) -> None:
        query = exchange.url.partition(b"?")[2]
        try:
            after, wait_ms = _whole(query, "after", -1), _whole(query, "wait_ms", 0)
        except ValueError as error:
            exchange.refuse("bad-request", str(error))
            return
        if self.phases.seq > after or wait_ms == 0:
            exchange.respond_json(200, self.document())
        else:
            self._answer_later(exchange, min(wait_ms, WAIT_MS_MAX) / 1000)

    def _answer_later(self, exchange: Exchange, seconds: float) -> None:
        """At the next phase, or when the time is over."""

        def answer() -> None:
            timer.cancel()
            self.phases.listeners.discard(answer)
            if not exchange.is_cancelled:
                exchange.respond(200, json.dumps(self.document()).encode())

        timer = exchange.connection.loop.call_later(seconds, answer)
        self.phases.listeners.add(answer)


def _whole(query: bytes, name: str, default: int) -> int:
    texts = parse_qs(query.decode("latin-1")).get(name)
    if texts is None:
        return default
    if not texts[-1].isdecimal() or len(texts[-1]) > 18:
        raise ValueError(f"{name} must be a whole number")
    return int(texts[-1])
