"""Logs, set up once with traces: structlog everywhere, the trace's id in every line."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import Any, TextIO

import structlog

from services.chassis.clock import SYSTEM_CLOCK
from services.chassis.telemetry_log import UnblockedHandler
from services.chassis.telemetry_traces import (
    Causes,
    Step,
    Trace,
    begin_step,
    finish_traces,
    ids_under_way,
    is_exporting,
    set_up_traces,
    span,
    trace_headers,
    trace_id,
    uncaused,
    within,
)

__all__ = [
    "Causes",
    "Step",
    "StructlogAdapter",
    "Trace",
    "begin_step",
    "bound",
    "finish_traces",
    "is_exporting",
    "logger",
    "set_up",
    "span",
    "trace_headers",
    "trace_id",
    "uncaused",
    "within",
]

# FastStream tells of every record, and warns of what is meant to be so.
QUIETED = {
    "aiokafka": logging.ERROR,
    "aiohttp.access": logging.WARNING,
    "chassis.faststream": logging.ERROR,
}
SELDOM = ("aiokafka", "opentelemetry")  # Heard now and then of what is away.
SELDOM_SECONDS = 10.0
SELDOM_KINDS_MAX = 200

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
    handler = UnblockedHandler(out.fileno()) if stream is None else logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    for library in SELDOM:
        handler.addFilter(_Seldom(library))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name, least in QUIETED.items():
        logging.getLogger(name).setLevel(least)
    if problem := set_up_traces(service):
        logger("chassis.telemetry").warning("traces are not exported", remedy=problem)


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
    line.update(ids_under_way())
    return line


def _pretty() -> structlog.typing.Processor:
    return structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
