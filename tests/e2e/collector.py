"""A collector of traces as OpenTelemetry specifies one: OTLP over HTTP, protobuf and JSON."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Told:
    """One span as it came."""

    service: str
    name: str
    trace: str
    id: str
    parent: str
    began_ns: int
    ended_ns: int
    facts: dict[str, Any]


@dataclass
class Collector:
    """What was told so far."""

    url: str = ""
    spans: list[Told] = field(default_factory=list)

    def of(self, trace: str) -> dict[str, Told]:
        """The spans of a trace by their ids."""
        return {one.id: one for one in list(self.spans) if one.trace == trace}

    def names(self, trace: str) -> set[tuple[str, str]]:
        return {(one.service, one.name) for one in self.of(trace).values()}

    def path(self, trace: str, last: Told) -> list[tuple[str, str]]:
        """From the outermost span to this one, as far as it is connected."""
        known, steps = self.of(trace), [last]
        while (parent := known.get(steps[-1].parent)) is not None:
            steps.append(parent)
        return [(one.service, one.name) for one in reversed(steps)]


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            is_json = self.headers["Content-Type"] == "application/json"
            collector.spans += _of_json(body) if is_json else _of_protobuf(body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.url = f"http://127.0.0.1:{server.server_address[1]}"
    serving = threading.Thread(target=server.serve_forever, daemon=True)
    serving.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()


def _of_protobuf(body: bytes) -> list[Told]:
    request = ExportTraceServiceRequest.FromString(body)
    return [
        Told(
            service=str(_plain(resource.resource.attributes)["service.name"]),
            name=span.name,
            trace=span.trace_id.hex(),
            id=span.span_id.hex(),
            parent=span.parent_span_id.hex(),
            began_ns=span.start_time_unix_nano,
            ended_ns=span.end_time_unix_nano,
            facts=_plain(span.attributes),
        )
        for resource in request.resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def _plain(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}


def _of_json(body: bytes) -> list[Told]:
    return [
        Told(
            service=_values(resource["resource"]["attributes"])["service.name"],
            name=span["name"],
            trace=span["traceId"],
            id=span["spanId"],
            parent=span.get("parentSpanId", ""),
            began_ns=int(span["startTimeUnixNano"]),
            ended_ns=int(span["endTimeUnixNano"]),
            facts=_values(span["attributes"]),
        )
        for resource in json.loads(body)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def _values(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    return {one["key"]: next(iter(one["value"].values())) for one in attributes}
