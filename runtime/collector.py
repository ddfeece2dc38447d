"""A collector of OTLP over HTTP, told in JSON; used by the thread of the spans alone."""

from __future__ import annotations

import http.client
import json
import os
import ssl
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from runtime.spans import BATCH_SECONDS, Finished

TIMEOUT_SECONDS = 10.0
PAUSE_SECONDS_MAX = 60.0  # Before a collector that does not answer is tried again.
ANSWER_BYTES_MAX = 64 * 1024
SERVER, INTERNAL = 2, 1  # Kinds of spans, as OTLP numbers them.
ERROR = 2
DEFAULT_NAME = "cellnode-agent"

Json = dict[str, Any]


class Collector:
    """Where spans go. What cannot be told is dropped: it must not grow in an instance."""

    def __init__(self, url: str, instance: str, environment: Mapping[str, str]) -> None:
        self._url = urlsplit(url)
        self._resource = {"attributes": _attributes(_resource(instance, environment))}
        self._headers = {"Content-Type": "application/json", **_headers(environment)}
        self._timeout_seconds = _timeout_seconds(environment)
        self._certificate = environment.get("OTEL_EXPORTER_OTLP_CERTIFICATE")
        self._failures = 0

    def tell(self, finished: Sequence[Finished]) -> bool:
        spans = [span for one in finished for span in _spans(one)]
        scope = {"scope": {"name": "cellnode.runtime"}, "spans": spans}
        document = {"resourceSpans": [{"resource": self._resource, "scopeSpans": [scope]}]}
        try:
            return self._post(json.dumps(document).encode())
        except (OSError, http.client.HTTPException, ValueError):
            return False

    def pause_seconds(self, is_told: bool) -> float:
        """Until it is asked again: longer and longer while it does not answer."""
        self._failures = 0 if is_told else self._failures + 1
        grown: float = BATCH_SECONDS * 2 ** min(self._failures, 10)
        return min(grown, PAUSE_SECONDS_MAX)

    def _post(self, body: bytes) -> bool:
        connection = self._connection()
        try:
            path = self._url.path or "/"
            connection.request("POST", path, body, self._headers)
            answer = connection.getresponse()
            answer.read(ANSWER_BYTES_MAX)
            return 200 <= answer.status < 300
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        if self._url.scheme == "http":
            return http.client.HTTPConnection(host, port, timeout=self._timeout_seconds)
        context = ssl.create_default_context(cafile=self._certificate)
        return http.client.HTTPSConnection(
            host, port, timeout=self._timeout_seconds, context=context
        )


def _spans(one: Finished) -> list[Json]:
    """The request at the agent; inside it the cell, as long as its interpreter says it ran."""
    parts = one.traceparent.decode().split("-")
    execute = {
        "traceId": parts[1],
        "spanId": os.urandom(8).hex(),
        "parentSpanId": parts[2],
        "name": "POST /execute",
        "kind": SERVER,
        "startTimeUnixNano": str(one.began_ns),
        "endTimeUnixNano": str(one.ended_ns),
        "attributes": _attributes(_told(one)),
        "status": {"code": ERROR} if one.status >= 500 else {},
    }
    if not one.execution_us:
        return [execute]
    cell = {
        **execute,
        "spanId": os.urandom(8).hex(),
        "parentSpanId": execute["spanId"],
        "name": "cell",
        "kind": INTERNAL,
        "startTimeUnixNano": str(max(one.began_ns, one.ended_ns - one.execution_us * 1000)),
        "attributes": [],
    }
    return [execute, cell]


def _told(one: Finished) -> dict[str, str | int]:
    waited_us = max(0, (one.ended_ns - one.began_ns) // 1000 - one.execution_us)
    return {
        "http.request.method": "POST",
        "url.path": "/execute",
        "http.response.status_code": one.status,
        "cellnode.request_id": one.request_id,
        "cellnode.waiting_us": waited_us,
        "cellnode.execution_us": one.execution_us,
    }


def _attributes(given: Mapping[str, str | int]) -> list[Json]:
    return [
        {"key": name, "value": {"intValue": str(v)} if isinstance(v, int) else {"stringValue": v}}
        for name, v in given.items()
    ]


def _resource(instance: str, environment: Mapping[str, str]) -> dict[str, str | int]:
    ours: dict[str, str | int] = {
        "service.namespace": "cellnode",
        "service.name": DEFAULT_NAME,
        "service.instance.id": instance,
    }
    ours.update(_pairs(environment.get("OTEL_RESOURCE_ATTRIBUTES", "")))
    if name := environment.get("OTEL_SERVICE_NAME"):
        ours["service.name"] = name
    return ours


def _headers(environment: Mapping[str, str]) -> dict[str, str]:
    names = ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS")
    return _pairs(next((environment[name] for name in names if environment.get(name)), ""))


def _pairs(text: str) -> dict[str, str]:
    """`a=b,c=d`, each part percent-encoded."""
    pairs = (pair.partition("=") for pair in text.split(",") if "=" in pair)
    return {unquote(name.strip()): unquote(value.strip()) for name, _, value in pairs}


def _timeout_seconds(environment: Mapping[str, str]) -> float:
    names = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT")
    given = next((environment[name] for name in names if environment.get(name)), "")
    is_number = given.replace(".", "", 1).isdecimal()
    return min(float(given), TIMEOUT_SECONDS) if is_number and float(given) else TIMEOUT_SECONDS
