"""An agent tells its spans where its variables say so, and no collector can hold it up."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from runtime.interpreter.frames import trace_id_in
from runtime.spans import WAITING_MAX, Spans, spans_of
from schemas.http import trace_id_of
from tests.e2e.collector import Collector, collecting
from tests.runtime.instances import Instances, until

TRACE = "0af7651916cd43dd8448eb211c80319c"
SAMPLED = f"00-{TRACE}-b7ad6b7169203331-01"
NOT_SAMPLED = f"00-{TRACE}-b7ad6b7169203331-00"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
URL = "http://127.0.0.1:4318"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


def ended(spans: Spans) -> None:
    span = spans.begin(SAMPLED.encode())
    assert span is not None
    span.end(SAMPLED.encode(), 200, "r-1")


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {ENDPOINT: URL, "OTEL_SDK_DISABLED": "true"},
        {ENDPOINT: URL, "OTEL_TRACES_EXPORTER": "none"},
        {ENDPOINT: URL, "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
        {ENDPOINT: "somewhere"},
    ],
)
def test_nothing_is_told_unless_the_variables_want_it(variables: dict[str, str]) -> None:
    assert spans_of("digits-3fa9c1-1", variables) is None


def test_a_trace_that_its_caller_does_not_record_is_not_recorded_here() -> None:
    assert Spans(URL, "digits-3fa9c1-1", {}).begin(NOT_SAMPLED.encode()) is None


def test_what_is_left_at_the_end_is_told(collector: Collector) -> None:
    variables = {
        ENDPOINT: collector.url,
        "OTEL_SERVICE_NAME": "mine",
        "OTEL_RESOURCE_ATTRIBUTES": "a=b%20c",
    }
    spans = spans_of("digits-3fa9c1-1", variables)
    assert spans is not None
    ended(spans)
    spans.finish(10.0)
    assert collector.names(TRACE) == {("mine", "POST /execute")}


def test_a_collector_that_hangs_costs_bounded_memory_and_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:  # Takes connections, never answers.
        spans = Spans(f"http://127.0.0.1:{hanging.getsockname()[1]}/v1/traces", "i-3fa9c1-1", {})
        for _ in range(3 * WAITING_MAX):
            ended(spans)
        spans.finish(0.1)
        assert len(spans._waiting) <= WAITING_MAX


def test_an_instance_tells_of_the_request_and_of_the_cell(
    instances: Instances, collector: Collector
) -> None:
    instance = instances.start(
        "import os\ny = [x, os.environ.get('OTEL_EXPORTER_OTLP_ENDPOINT')]",
        inputs=[{"name": "x", "schema": None}],
        outputs=["y"],
        environment={ENDPOINT: collector.url},
    ).ready()
    answer = instance.execute({"x": 1}, traceparent=SAMPLED, X_Request_ID="r-1")
    assert answer.json == {"output": {"y": [1, None]}}  # The variables are not the cell's.
    until(lambda: len(collector.of(TRACE)) == 2)
    (request,) = [one for one in collector.spans if one.name == "POST /execute"]
    (cell,) = [one for one in collector.spans if one.name == "cell"]
    assert (request.parent, cell.parent) == ("b7ad6b7169203331", request.id)
    assert request.began_ns <= cell.began_ns < cell.ended_ns <= request.ended_ns
    assert (request.facts["cellnode.request_id"], request.service) == ("r-1", "cellnode-agent")


def test_error_answers_and_log_lines_name_the_trace(instances: Instances) -> None:
    cell = "import os\nif x: os._exit(3)\nraise ValueError"
    instance = instances.start(cell, inputs=[{"name": "x", "schema": None}], outputs=[]).ready()
    raised = instance.execute({"x": 0}, traceparent=SAMPLED)
    without = instance.execute({"x": 0}, X_Request_ID="r-1")
    lost = instance.execute({"x": 1}, traceparent=NOT_SAMPLED)
    assert (raised.json["code"], raised.json["trace_id"]) == ("cell-error", TRACE)
    assert without.json["trace_id"] == trace_id_of(b"r-1")
    assert (lost.json["code"], lost.json["trace_id"]) == ("interpreter-lost", TRACE)
    until(lambda: f"trace_id={TRACE}" in instance.log())


@pytest.mark.parametrize("request_id", ["r-1", "x" * 128, "62ba6a1f689a-1f"])
def test_agent_and_gateway_know_the_same_trace_by_a_requests_id(request_id: str) -> None:
    assert trace_id_in("", request_id) == trace_id_of(request_id.encode())
    assert len(trace_id_of(request_id.encode())) == 32
