"""Traces: W3C context in and out, spans, and their export where OTEL's own variables ask for it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

CAUSES_MAX = 16  # Of one piece of work; the others are left out.
KEYS_MAX = 10_000
FLUSH_SECONDS_MAX = 2.0  # At the end of a process; what is not told by then is lost.
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
HTTP_PROTOBUF: Final = "http/protobuf"

Facts = Mapping[str, str | int | float | bool]  # Of a span, in the words of OpenTelemetry.
Trace = Mapping[str, str]  # The headers `traceparent` and, if there is one, `tracestate`.

KINDS = {
    "internal": trace.SpanKind.INTERNAL,
    "server": trace.SpanKind.SERVER,
    "client": trace.SpanKind.CLIENT,
    "producer": trace.SpanKind.PRODUCER,
    "consumer": trace.SpanKind.CONSUMER,
}


def set_up_traces(service: str) -> str:
    """Once a process. Tells what is wrong with OTEL's variables; empty if nothing is."""
    if isinstance(trace.get_tracer_provider(), TracerProvider):
        return ""
    problem = export_problem()
    exports = is_exporting()
    provider = TracerProvider(
        # Without an exporter no span is recorded, but each has its ids for log lines and answers.
        sampler=None if exports else ParentBased(ALWAYS_OFF),
        resource=Resource.create(_identity(service)),
        shutdown_on_exit=False,  # `finish_traces` does that, within its time.
    )
    if exports:
        problem = _export(provider)
    trace.set_tracer_provider(provider)
    return problem


def is_exporting() -> bool:
    """Whether spans leave this process."""
    return is_export_wanted() and not export_problem()


def is_export_wanted() -> bool:
    """Nothing leaves the process unless OTEL's own variables say where to."""
    is_off = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    chosen = os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    return not is_off and chosen != "none" and any(os.environ.get(name) for name in _ENDPOINTS)


def export_problem() -> str:
    """Why traces cannot be exported as the variables ask for it."""
    chosen = os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    protocol = next((os.environ[name] for name in _PROTOCOLS if os.environ.get(name)), "")
    if is_export_wanted() and chosen not in ("", "otlp"):
        return f"OTEL_TRACES_EXPORTER={chosen} is not built in; use otlp or none"
    if is_export_wanted() and protocol not in ("", HTTP_PROTOBUF):
        return f"the protocol {protocol} is not built in; use {HTTP_PROTOBUF}"
    return ""


def finish_traces(seconds_max: float = FLUSH_SECONDS_MAX) -> None:
    """Export what is left; a collector that does not answer is not waited for any longer."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider) and is_export_wanted():
        flushing = threading.Thread(target=provider.shutdown, daemon=True, name="traces.flush")
        flushing.start()
        flushing.join(seconds_max)


class Step:
    """One step of a trace that is begun and ended by hand; at most one span of the SDK."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        context = span.get_span_context()
        flags = int(context.trace_flags)
        self.traceparent = f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}"

    @property
    def is_recorded(self) -> bool:
        return self._span.is_recording()

    def end(self, told: Facts | None = None, *, error: str = "") -> None:
        self._span.set_attributes(told or {})
        if error:
            self._span.set_attribute("error.type", error)
            self._span.set_status(trace.StatusCode.ERROR)
        self._span.end()


def begin_step(
    name: str, told: Facts | None = None, *, kind: str = "internal", parent: Trace | None = None
) -> Step:
    """A child of `parent`, else a trace of its own; it is nobody's context."""
    context = _context_of(parent) or Context()
    return Step(_tracer().start_span(name, context, KINDS[kind], attributes=told))


@contextmanager
def span(
    name: str,
    headers: Trace | None = None,
    told: Facts | None = None,
    *,
    kind: str = "internal",
    links: Sequence[Trace] = (),
) -> Iterator[Step]:
    """A step of a trace: a child of the one in `headers`, else of the one under way.

    `links` are other causes of the same work.
    """
    with _tracer().start_as_current_span(
        name,
        context=_context_of(headers),
        kind=KINDS[kind],
        links=[link for one in links if (link := _link(one)) is not None],
        attributes=told,
    ) as started:
        yield Step(started)


@contextmanager
def within(cause: Trace | None) -> Iterator[None]:
    """What is done inside is caused by that step, in whichever process it was; None: as before."""
    context = _context_of(cause)
    if context is None:
        yield
        return
    token = attach(context)
    try:
        yield
    finally:
        detach(token)


@contextmanager
def uncaused() -> Iterator[None]:
    """What is done inside has no cause but itself, although it was begun in some step."""
    token = attach(Context())
    try:
        yield
    finally:
        detach(token)


class Causes:
    """What has asked for a piece of work that is done later, once for all of them, by key."""

    def __init__(self) -> None:
        self._of: dict[str, dict[str, Trace]] = {}  # By trace: its first step that asked.

    def note(self, key: str) -> None:
        """The step under way, if there is one, is a cause."""
        headers = trace_headers()
        known = self._of.setdefault(key, {}) if headers else {}
        if headers and len(known) < CAUSES_MAX and len(self._of) <= KEYS_MAX:
            known.setdefault(headers["traceparent"][3:35], headers)

    @contextmanager
    def step(self, name: str, key: str, told: Facts | None = None) -> Iterator[None]:
        """The work: a child of its first cause, linked to the others; without any, no step."""
        first, *others = self._of.pop(key, {}).values() or [None]
        if first is None:
            yield
            return
        with span(name, first, told, links=[one for one in others if one]):
            yield


def trace_headers() -> dict[str, str]:
    """W3C trace context of the step under way, to be sent along; empty outside any."""
    headers: dict[str, str] = {}
    _propagator().inject(headers)
    return headers


def trace_id() -> str | None:
    """Of the step under way, in hex."""
    context = trace.get_current_span().get_span_context()
    return f"{context.trace_id:032x}" if context.is_valid else None


def ids_under_way() -> dict[str, str]:
    """For a log line."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}


def _identity(service: str) -> dict[str, str]:
    """What the variables do not say themselves."""
    said = OTELResourceDetector().detect().attributes
    ours = {
        "service.namespace": "cellnode",
        "service.name": f"cellnode-{service}",
        "service.instance.id": f"{socket.gethostname()}-{os.getpid()}",
    }
    return {name: value for name, value in ours.items() if name not in said}


def _export(provider: TracerProvider) -> str:
    # Imported only by who exports: together they take longer than the rest of a service's start.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    try:
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    except ValueError as error:
        return f"a variable OTEL_* has a wrong value: {error}"
    return ""


def _context_of(headers: Trace | None) -> Context | None:
    if headers is None or "traceparent" not in headers:
        return None
    return _propagator().extract(dict(headers))


def _link(headers: Trace) -> trace.Link | None:
    context = _context_of(headers)
    told = trace.get_current_span(context).get_span_context() if context is not None else None
    return trace.Link(told) if told is not None and told.is_valid else None


@lru_cache(maxsize=1)
def _propagator() -> TraceContextTextMapPropagator:
    return TraceContextTextMapPropagator()


def _tracer() -> trace.Tracer:
    return trace.get_tracer("cellnode")
