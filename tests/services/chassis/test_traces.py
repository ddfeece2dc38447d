"""Spans leave a process where OTEL's own variables say so, and never hold it up."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time

import pytest

from services.chassis.telemetry import Causes, span, trace_headers, uncaused, within
from tests.e2e.collector import collecting
from tests.sources import ROOT

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
SERVICE = f"""
from services.chassis.telemetry import finish_traces, is_exporting, set_up, span
set_up("health")
with span("work", {{"traceparent": "{PARENT}"}}, {{"a": 1}}):
    print(is_exporting(), flush=True)
for _ in range(SPANS):
    with span("more"):
        pass
finish_traces(1.0)
"""


def served(variables: dict[str, str], spans: int = 0) -> tuple[str, str, float]:
    """What such a process says on both streams, and the seconds it took."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **variables}
    began = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-P", "-c", SERVICE.replace("SPANS", str(spans))],
        env=environment, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return ran.stdout.strip(), ran.stderr, time.monotonic() - began


def test_a_service_tells_its_spans_and_what_it_is() -> None:
    with collecting() as collector:
        served({ENDPOINT: collector.url})
        (told,) = collector.spans
    assert (told.service, told.name, told.facts) == ("cellnode-health", "work", {"a": 1})
    assert (told.trace, told.parent) == (TRACE, "b7ad6b7169203331")


def test_the_name_of_the_service_may_be_given() -> None:
    with collecting() as collector:
        served({ENDPOINT: collector.url, "OTEL_SERVICE_NAME": "mine"})
        assert [one.service for one in collector.spans] == ["mine"]


@pytest.mark.parametrize(
    "off",
    [
        {"OTEL_SDK_DISABLED": "true"},
        {"OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_TRACES_SAMPLER": "always_off"},
    ],
)
def test_the_variables_can_switch_it_off(off: dict[str, str]) -> None:
    with collecting() as collector:
        served({ENDPOINT: collector.url, **off})
        assert collector.spans == []


def test_what_is_not_built_in_is_said_and_nothing_is_sent() -> None:
    with collecting() as collector:
        variables = {ENDPOINT: collector.url, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
        exporting, said, _ = served(variables)
        assert (exporting, collector.spans) == ("False", [])
    assert "use http/protobuf" in said


@pytest.mark.full
@pytest.mark.parametrize("is_hanging", [True, False], ids=["hanging", "away"])
def test_a_collector_that_does_not_answer_costs_a_second_at_the_end(is_hanging: bool) -> None:
    """Else it would hold up every stop; more spans than there is room for are dropped."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        if not is_hanging:
            server.close()
        url = f"http://127.0.0.1:{server.getsockname()[1] if is_hanging else 9}"
        exporting, _, seconds = served({ENDPOINT: url}, spans=10_000)
    assert exporting == "True"
    assert seconds < 20


class TestCauses:
    """Work that is done later, once for all who asked for it."""

    def test_the_first_cause_is_the_parent(self) -> None:
        causes = Causes()
        with within({"traceparent": PARENT}):
            causes.note("digits")
        with causes.step("reconcile", "digits"):
            assert trace_headers()["traceparent"][3:35] == TRACE
        with causes.step("reconcile", "digits"):
            assert trace_headers() == {}

    def test_without_a_cause_there_is_no_step(self) -> None:
        causes = Causes()
        causes.note("digits")
        with causes.step("reconcile", "digits"):
            assert trace_headers() == {}

    def test_what_happens_of_itself_is_in_nobodys_trace(self) -> None:
        with span("start", {"traceparent": PARENT}), uncaused():
            assert trace_headers() == {}
