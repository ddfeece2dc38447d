"""Spans of executions, for a collector that OTEL's own variables name; without one, nothing.

The agent writes OTLP as JSON itself: OpenTelemetry's own packages would cost each instance a third
of a second at its start and twenty megabytes for as long as it lives.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

WAITING_MAX = 2048  # Spans that are not told yet; the oldest are dropped.
BATCH_MAX = 512
BATCH_SECONDS = 1.0  # For more to come before what is there is told.
FINISH_SECONDS_MAX = 0.5
SAMPLED = 1
PROTOCOLS = frozenset({"", "http/protobuf", "http/json"})  # A collector's address takes either.


class Finished(NamedTuple):
    """One execution: when it came, when the cell began and ended, what was answered."""

    traceparent: bytes
    began_ns: int
    ended_ns: int
    execution_us: int
    status: int
    request_id: str


class Span:
    """One execution that is being traced."""

    __slots__ = ("_began_ns", "_spans", "execution_us")

    def __init__(self, spans: Spans) -> None:
        self._spans = spans
        self._began_ns = time.time_ns()
        self.execution_us = 0

    def end(self, traceparent: bytes, status: int, request_id: str) -> None:
        ended = (self._began_ns, time.time_ns(), self.execution_us, status, request_id)
        self._spans.add(Finished(traceparent, *ended))


class Spans:
    """What waits to be told; a thread tells it, so that no request waits for a collector."""

    def __init__(self, url: str, instance: str, environment: Mapping[str, str]) -> None:
        self._url = url
        self._environment = environment
        self._instance = instance
        self._waiting: deque[Finished] = deque(maxlen=WAITING_MAX)
        self._has_some = threading.Event()
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, traceparent: bytes) -> Span | None:
        """None where the caller does not have its trace recorded."""
        return Span(self) if int(traceparent[53:55], 16) & SAMPLED else None

    def add(self, finished: Finished) -> None:
        self._waiting.append(finished)
        self._has_some.set()
        if self._thread is None:
            self._thread = threading.Thread(target=self._tell, name="spans", daemon=True)
            self._thread.start()

    def finish(self, seconds_max: float = FINISH_SECONDS_MAX) -> None:
        """Tell what is left, but wait no longer than this for a collector."""
        self._ending.set()
        self._has_some.set()
        if self._thread is not None:
            self._thread.join(seconds_max)

    def _tell(self) -> None:
        from runtime.collector import Collector  # Heavy, and not needed before.

        collector = Collector(self._url, self._instance, self._environment)
        pause_seconds = BATCH_SECONDS
        while not (self._ending.is_set() and not self._waiting):
            self._has_some.wait()
            self._has_some.clear()
            self._ending.wait(pause_seconds)
            is_told = True
            while self._waiting and is_told:
                is_told = collector.tell(self._batch())
            pause_seconds = collector.pause_seconds(is_told)
            if not is_told and self._ending.is_set():
                return
            if self._waiting:
                self._has_some.set()

    def _batch(self) -> list[Finished]:
        count = min(BATCH_MAX, len(self._waiting))
        return [self._waiting.popleft() for _ in range(count)]


def spans_of(instance: str, environment: Mapping[str, str]) -> Spans | None:
    """As the variables want it: they are the agent's, the cell does not see them."""

    def given(*names: str) -> str:
        return next((environment[name].strip() for name in names if environment.get(name)), "")

    is_off = given("OTEL_SDK_DISABLED").lower() == "true"
    is_elsewhere = given("OTEL_TRACES_EXPORTER").lower() not in ("", "otlp")
    protocol = given("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    if is_off or is_elsewhere or protocol not in PROTOCOLS:
        return None
    root = given("OTEL_EXPORTER_OTLP_ENDPOINT").rstrip("/")
    url = given("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or (f"{root}/v1/traces" if root else "")
    is_address = url.startswith(("http://", "https://"))
    return Spans(url, instance, environment) if is_address else None
