"""Logs and traces, set up once: structlog everywhere, trace ids in every line and in headers."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TextIO

import structlog
from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from services.chassis.clock import SYSTEM_CLOCK

# FastStream tells of every record, and warns of what is meant to be so.
QUIETED = {
    "aiokafka": logging.ERROR,
    "aiohttp.access": logging.WARNING,
    "chassis.faststream": logging.ERROR,
}
SELDOM_SECONDS = 10.0
SELDOM_KINDS_MAX = 200
_EXPORT_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

Logger = structlog.stdlib.BoundLogger


def logger(name: str) -> Logger:
    """The log of a module: constant messages, facts as keywords."""
    bound: Logger = structlog.stdlib.get_logger(name)
    return bound


def set_up(service: str, level: str = "info", stream: TextIO | None = None) -> None:
    """Once per process: pretty lines on a terminal, JSON otherwise; the same for every library."""
    out = sys.stderr if stream is None else stream
    renderer = _pretty() if out.isatty() else structlog.processors.JSONRenderer()
    shared = _shared_processors(service)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    handler.addFilter(_Seldom("aiokafka"))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name, least in QUIETED.items():
        logging.getLogger(name).setLevel(least)
    _set_up_traces(service)


class _Seldom(logging.Filter):
    """A library that tells of a broker that is away many times a second is heard now and then."""

    def __init__(self, library: str) -> None:
        super().__init__()
        self._library = library
        self._told_at: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith(self._library):
            return True
        kind, now = (record.name, str(record.msg)[:80]), SYSTEM_CLOCK.monotonic()
        if now - self._told_at.get(kind, -SELDOM_SECONDS) < SELDOM_SECONDS:
            return False
        if len(self._told_at) >= SELDOM_KINDS_MAX:
            self._told_at.clear()
        self._told_at[kind] = now
        return True


class StructlogAdapter:
    """What FastStream logs through: its `extra` become facts of the line."""

    def __init__(self, name: str) -> None:
        self._log = logger(name)

    def log(
        self,
        level: int,
        message: Any,
        *arguments: Any,
        exc_info: Any = None,
        extra: Mapping[str, Any] | None = None,
        **_: Any,
    ) -> None:
        facts = dict(extra or {})
        if exc_info is not None:
            facts["exc_info"] = exc_info
        self._log.log(level, str(message), *arguments, **facts)


@contextmanager
def bound(**facts: Any) -> Iterator[None]:
    """Facts in every log line written inside."""
    with structlog.contextvars.bound_contextvars(**facts):
        yield


@contextmanager
def span(name: str, headers: Mapping[str, str] | None = None) -> Iterator[None]:
    """A step of a trace: a child of the one in `headers`, else of the one under way."""
    parent = _propagator().extract(dict(headers)) if headers and "traceparent" in headers else None
    with _tracer().start_as_current_span(name, context=parent):
        yield


def trace_headers() -> dict[str, str]:
    """W3C trace context of the step under way, to be sent along; empty outside any."""
    headers: dict[str, str] = {}
    _propagator().inject(headers)
    return headers


def _shared_processors(service: str) -> list[structlog.typing.Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _adds_service(service),
        _add_trace,
        structlog.processors.format_exc_info,
    ]


def _adds_service(service: str) -> structlog.typing.Processor:
    def add(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        line["service"] = service
        return line

    return add


def _add_trace(_: Any, __: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        line["trace_id"] = f"{context.trace_id:032x}"
        line["span_id"] = f"{context.span_id:016x}"
    return line


def _pretty() -> structlog.typing.Processor:
    return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)


def _set_up_traces(service: str) -> None:
    """Ids for every step; nothing leaves the process unless OTEL's own variables say where to."""
    if isinstance(trace.get_tracer_provider(), TracerProvider):
        return
    provider = TracerProvider(resource=Resource.create({"service.name": f"cellnode-{service}"}))
    if any(os.environ.get(name) for name in _EXPORT_VARIABLES):
        _export(provider)
    trace.set_tracer_provider(provider)


def _export(provider: TracerProvider) -> None:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # type: ignore[import-not-found]
            OTLPSpanExporter,
        )
    except ImportError:
        remedy = "install opentelemetry-exporter-otlp-proto-http"
        logger("chassis.telemetry").warning("traces are not exported", remedy=remedy)
        return
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))


@lru_cache(maxsize=1)
def _propagator() -> TraceContextTextMapPropagator:
    return TraceContextTextMapPropagator()


def _tracer() -> trace.Tracer:
    return trace.get_tracer("cellnode")
