"""Logs: one shape for all libraries, pretty for people, JSON for programs, traces in every line."""

from __future__ import annotations

import io
import json
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from services.chassis.telemetry import (
    StructlogAdapter,
    bound,
    logger,
    set_up,
    span,
    trace_headers,
)
from services.chassis.watchdog import watchdog

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What a service writes where no terminal is."""
    before = logging.getLogger().handlers, logging.getLogger().level
    set_up("health", "info", stream := io.StringIO())
    yield stream
    logging.getLogger().handlers, logging.getLogger().level = before


def last(stream: io.StringIO) -> dict[str, Any]:
    line: dict[str, Any] = json.loads(stream.getvalue().splitlines()[-1])
    return line


def test_a_line_is_json_with_its_facts(lines: io.StringIO) -> None:
    with bound(node="default/digits"):
        logger("probes").warning("probe failed", instance="digits-3fa9c1-1")
    line = last(lines)
    assert line["event"] == "probe failed"
    assert (line["level"], line["service"], line["logger"]) == ("warning", "health", "probes")
    assert (line["node"], line["instance"]) == ("default/digits", "digits-3fa9c1-1")


def test_other_libraries_lines_look_the_same(lines: io.StringIO) -> None:
    logging.getLogger("aiokafka.client").error("Unable to %s", "connect")
    assert last(lines)["event"] == "Unable to connect"
    logging.getLogger("aiokafka.client").warning("noise")
    assert last(lines)["event"] == "Unable to connect"


def test_a_library_that_repeats_itself_is_heard_once(lines: io.StringIO) -> None:
    """A broker that is away would otherwise fill a disk."""
    for number in range(100):
        logging.getLogger("aiokafka.client").error("Unable to connect to node %s", number)
    logging.getLogger("aiokafka.client").error("Something else")
    logger("ours").info("ours")
    logger("ours").info("ours")
    told = [json.loads(line)["event"] for line in lines.getvalue().splitlines()]
    assert told == ["Unable to connect to node 0", "Something else", "ours", "ours"]


def test_fast_streams_extra_becomes_facts(lines: io.StringIO) -> None:
    error = ValueError("wrong")
    StructlogAdapter("chassis.faststream").log(
        logging.ERROR, "Failed", extra={"topic": "t"}, exc_info=error
    )
    line = last(lines)
    assert (line["event"], line["topic"]) == ("Failed", "t")
    assert "ValueError: wrong" in line["exception"]


def test_a_terminal_gets_lines_for_people() -> None:
    before = logging.getLogger().handlers
    set_up("health", "info", stream := Terminal())
    logger("probes").info("hello", node="digits")
    logging.getLogger().handlers = before
    assert "hello" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


def test_a_trace_is_carried_through_headers_into_every_line(lines: io.StringIO) -> None:
    assert trace_headers() == {}
    with span("handle", {"traceparent": PARENT}):
        logger("probes").info("inside")
        sent = trace_headers()["traceparent"]
    line = last(lines)
    assert line["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert sent == f"00-{line['trace_id']}-{line['span_id']}-01"
    assert line["span_id"] != "b7ad6b7169203331"


@pytest.mark.parametrize("broken", ["", "00-zz", "00-0-0-01", "x" * 10_000])
def test_a_broken_trace_header_begins_a_new_trace(lines: io.StringIO, broken: str) -> None:
    with span("handle", {"traceparent": broken}):
        assert len(trace_headers()["traceparent"]) == 55


async def test_a_loop_that_stands_still_is_named_with_its_stack(
    lines: io.StringIO, until: Callable[..., Awaitable[None]]
) -> None:
    late: list[float] = []

    def stands_still() -> None:
        event = threading.Event()
        event.wait(0.4)

    with watchdog(on_late=late.append, late_seconds=0.1):
        stands_still()
        await until(lambda: late)
    line = last(lines)
    assert line["event"] == "event loop stands still"
    assert "stands_still" in line["stack"]
    assert late[0] >= 0.1
