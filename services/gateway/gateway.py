"""The gateway as its connections see it: what is asked for decides who answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

from schemas.ids import DEFAULT_PROJECT, NAME_PATTERN
from services.gateway.access import AccessLog
from services.gateway.api import Api
from services.gateway.calls import NEVER, Call
from services.gateway.clients import ClientConnection, Patience
from services.gateway.endpoints import RoutedNode
from services.gateway.forward import Forwarder, unserved
from services.gateway.intake import IntakeLimits
from services.gateway.local_copy import LocalCopy
from services.gateway.measures import Measures
from services.gateway.tracing import ROUTE, Tracing, end_call
from services.gateway.tunnel_heads import Lines
from services.gateway.tunnels import Tunnel

TARGETS_MAX = 4096
TOO_MANY_CONNECTIONS = "too-many-connections"  # Beside the codes of problems.
_EXECUTE = re.compile(rb"(?:http://[^/?#]*)?/v1/nodes/([^/:?#]+):execute(?:\?.*)?")
_NAME = re.compile(NAME_PATTERN.strip("^$"))
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._~:+/=-]{1,128}")
_SECONDS = re.compile(rb"[0-9]{1,6}(\.[0-9]{1,6})?")
_TEXT = b"Content-Type: text/plain; charset=utf-8\r\n"
_JSON = b"Content-Type: application/json\r\n"
_METRICS = b"Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"


class Gateway:
    """Routes calls; implements what `ClientConnection` calls its site."""

    def __init__(
        self,
        *,
        copy: LocalCopy,
        forwarder: Forwarder,
        measures: Measures,
        access: AccessLog,
        now: Callable[[], float],
        token: str,
        ready: Callable[[], dict[str, object]],
        process_metrics: Callable[[], bytes],
        limits: IntakeLimits,
        patience: Patience,
        connections_max: int,
        api: Api | None,
        tracing: Tracing,
    ) -> None:
        self.limits = limits
        self.patience = patience
        self.now = now
        self.is_draining = False
        self.clients: set[ClientConnection] = set()
        self.held_bytes = 0  # Of request bodies, being read or waiting.
        self._copy = copy
        self._forwarder = forwarder
        self._measures = measures
        self._access = access
        self._token = token[:12].encode()
        self._counted = 0
        measures.site = self
        self._names: dict[bytes, str] = {}  # What targets were found to mean.
        self._ready = ready
        self._process_metrics = process_metrics
        self._connections_max = connections_max
        self._api = api
        self._tracing = tracing

    # Connections.

    def opened(self, client: ClientConnection) -> None:
        self.clients.add(client)
        if len(self.clients) > self._connections_max:
            self._measures.no_node.refused[TOO_MANY_CONNECTIONS] += 1
            client.turn_away()

    def closed(self, client: ClientConnection) -> None:
        self.clients.discard(client)

    def sweep(self) -> None:
        """Once a second: cut slow clients, close idle connections to instances."""
        now = self.now()
        for client in list(self.clients):
            client.sweep(now)
        self._copy.sweep()
        if self._api is not None:
            self._api.sweep(now)

    def close_streams(self) -> None:
        """Events are followed without end: at a stop they end first."""
        if self._api is not None:
            self._api.close_streams()

    # Calls.

    def handle(self, call: Call) -> None:
        """Give the call to whoever answers it."""
        given = call.headers.get(b"x-request-id")
        if given is not None and _REQUEST_ID.fullmatch(given):
            call.request_id = given
        else:
            self._counted += 1
            call.request_id = b"%b-%x" % (self._token, self._counted)
        if b"traceparent" in call.headers:
            self._tracing.take(call)
        if call.refusal is not None:
            call.refuse(*call.refusal)
            return
        name = self._names.get(call.target) or self._name_in(call.target)
        if not name:
            self._inspect(call)
        elif call.method != b"POST":
            call.refuse("method-not-allowed", "A node is called with POST.", b"Allow: POST\r\n")
        else:
            self._execute(call, name)

    def _name_in(self, target: bytes) -> str:
        """The node that the target calls; empty if it calls none."""
        asked = _EXECUTE.fullmatch(target)
        if asked is None:
            return ""
        if len(self._names) >= TARGETS_MAX:
            self._names.clear()
        name = self._names[target] = asked.group(1).decode("latin-1")
        return name

    def wants_body(self, call: Call) -> bool:
        """Whether to ask for the body of a call that waits to send it."""
        return call.method == b"POST" and bool(self._name_in(call.target))

    def tunnel(self, call: Call, lines: Lines) -> Tunnel | None:
        """The way to the api, for what is neither a node's nor the gateway's own."""
        if self._api is None or self._names.get(call.target) or self._name_in(call.target):
            return None
        return None if _path(call) in PAGES else self._api.tunnel(call, lines)

    def abandoned(self, call: Call) -> None:
        """The client has gone before its answer."""
        if call.tunnel is None:
            self._forwarder.abandon(call)
        else:
            call.tunnel.end()
        call.status = 499
        self.finished(call)

    def finished(self, call: Call) -> float:
        """Count and log the call; tells the time."""
        if call.is_held:
            self.held_bytes -= call.size
        if call.step is not None:
            end_call(call)
        now = self.now()
        if call.tunnel is None:
            counts = self._measures.no_node if call.node is None else call.node.counts
            counts.answered(call.status, now - call.started)
        else:
            self._measures.by_api_status[call.status] += 1
        self._access.write(call, now)
        return now

    def _execute(self, call: Call, name: str) -> None:
        given = call.headers.get(b"cellnode-project")
        project = given.decode("latin-1") if given else DEFAULT_PROJECT
        call.place = f"{project}/{name}"
        if self._tracing.exports:
            self._tracing.begin(call, ROUTE)
        node = call.node = self._copy.nodes.get(call.place)
        timeout_seconds = NEVER
        if b"x-request-timeout" in call.headers:
            timeout_seconds = _seconds(call.headers[b"x-request-timeout"])
        if timeout_seconds <= 0:
            call.refuse("bad-request", "X-Request-Timeout is a number of seconds above 0.")
        elif node is None:
            self._refuse_unknown(call, project, name)
        elif not node.endpoints:
            code, detail = unserved(node)
            node.counts.refused[code] += 1
            call.refuse(code, detail)
        else:
            self._forwarder.begin(call, node, timeout_seconds)

    def _refuse_unknown(self, call: Call, project: str, name: str) -> None:
        if not (_NAME.fullmatch(project) and _NAME.fullmatch(name)):
            call.place = ""  # Nobody's name: it does not belong into the log as one.
            call.refuse("node-unknown", "Names are lowercase letters, digits and inner hyphens.")
        elif not self._copy.is_complete:
            self._measures.no_node.refused["starting"] += 1
            call.refuse("starting", "The gateway has not seen every partition yet.")
        else:
            call.refuse("node-unknown", f"There is no node {call.place}.")

    # The gateway's own pages.

    def _inspect(self, call: Call) -> None:
        if call.tunnel is not None:
            self._tracing.begin(call)
            call.tunnel.begin()
            return
        page = PAGES.get(_path(call))
        if page is None:
            call.refuse("not-found", "Calls go to /v1/nodes/{node}:execute.")
        elif call.method not in (b"GET", b"HEAD"):
            call.refuse(
                "method-not-allowed", "This page is read with GET.", b"Allow: GET, HEAD\r\n"
            )
        else:
            page(self, call)

    def _livez(self, call: Call) -> None:
        call.answer(200, _TEXT, b"live\n")

    def _readyz(self, call: Call) -> None:
        told, projection = self._ready(), self._copy.told()
        age = b"Cellnode-Projection-Age: %.3f\r\n" % self._copy.age_seconds()
        body = json.dumps({**told, "projection": projection}).encode()
        call.answer(200 if told["ready"] else 503, _JSON + age, body)

    def _metrics(self, call: Call) -> None:
        call.answer(200, _METRICS, self._process_metrics())

    # What is measured here.

    @property
    def nodes(self) -> Mapping[str, RoutedNode]:
        return self._copy.nodes

    def active(self) -> Mapping[str, int]:
        return self._forwarder.active_by_node()

    def gauges(self) -> dict[str, float]:
        """What holds at this moment."""
        nodes = self._copy.nodes.values()
        return {
            "in_flight": self._forwarder.active,
            "queued": sum(len(node.queue) for node in nodes),
            "connections": len(self.clients),
            "held_bytes": self.held_bytes,
            "api_requests": 0 if self._api is None else len(self._api.open),
            "nodes": len(nodes),
            "endpoints": sum(len(node.endpoints) for node in nodes),
            "projection_age_seconds": self._copy.age_seconds(),
            "partitions_seen": self._copy.partitions_seen,
            "partitions_wanted": self._copy.partitions_wanted,
        }


PAGES: dict[bytes, Callable[[Gateway, Call], None]] = {
    b"/livez": Gateway._livez,
    b"/readyz": Gateway._readyz,
    b"/metrics": Gateway._metrics,
}


def _path(call: Call) -> bytes:
    return call.target.partition(b"?")[0]


def _seconds(given: bytes) -> float:
    """0 when it is no number of seconds."""
    return float(given) if _SECONDS.fullmatch(given) else 0.0
