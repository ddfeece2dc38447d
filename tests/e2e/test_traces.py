"""One call is one trace, one deployment is one trace; where nobody collects, nothing is told."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.bus import Follower
from tests.e2e.collector import Collector, Told, collecting
from tests.e2e.door import HttpWorld
from tests.e2e.system import System
from tests.e2e.system_running import living
from tests.e2e.waiting import until

pytestmark = pytest.mark.full  # A system of its own.

CALL, DEPLOY, FAILED = "0af7651916cd43dd8448eb211c80319c", "1b" * 16, "2c" * 16
CALLER = "b7ad6b7169203331"
CALLED = {"input": {"x": 2}}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def world(collector: Collector) -> Iterator[HttpWorld]:
    """A whole system that tells its traces."""
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    with living(System(variables)) as system, Follower(system.kafka) as statuses:
        yield HttpWorld(system, statuses)


@pytest.fixture(scope="module")
def node(world: HttpWorld) -> str:
    """Deployed within a trace of its own."""
    name = world.name()
    body = {"checkpoint": world.pin(k=3), "cell": "y = k * x", "inputs": ["x"], "outputs": ["y"]}
    asked(world, f"PUT /v1/nodes/{name}", body, DEPLOY)
    world.healthy(name, 1)
    line = f"POST /v1/nodes/{name}:execute"
    until("it is routed", lambda: "output" in asked(world, line, CALLED, "4e" * 16))
    return name


def asked(world: HttpWorld, line: str, body: Any, trace: str) -> Any:
    method, path = line.split()
    connection = http.client.HTTPConnection(*world.system.gateway, timeout=30)
    headers = {"Content-Type": "application/json", "traceparent": f"00-{trace}-{CALLER}-01"}
    try:
        content = None if body is None else json.dumps(body)
        connection.request(method, path, content, headers)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def told(collector: Collector, trace: str, service: str, name: str, **facts: Any) -> Told:
    """The span, as soon as it has come."""

    def look() -> Told | None:
        for one in collector.of(trace).values():
            fits = all(one.facts.get(f"cellnode.{key}") == value for key, value in facts.items())
            if (one.service, one.name) == (service, name) and fits:
                return one
        return None

    return until(f"{service} told {name} {facts}", look)


def test_a_call_is_one_trace_from_the_gateway_to_the_cell(
    world: HttpWorld, node: str, collector: Collector
) -> None:
    answer = asked(world, f"POST /v1/nodes/{node}:execute", CALLED, CALL)
    cell = told(collector, CALL, "cellnode-agent", "cell")
    told(collector, CALL, "cellnode-gateway", "POST /v1/nodes/{node}:execute")
    assert answer == {"output": {"y": 6}}
    assert collector.path(CALL, cell) == [
        ("cellnode-gateway", "POST /v1/nodes/{node}:execute"),
        ("cellnode-gateway", "POST /execute"),
        ("cellnode-agent", "POST /execute"),
        ("cellnode-agent", "cell"),
    ]
    call, *steps = sorted(collector.of(CALL).values(), key=lambda one: one.began_ns)
    assert call.parent == CALLER
    assert call.facts["http.response.status_code"] == 200
    assert all(one.ended_ns <= call.ended_ns for one in steps)


def test_a_deployment_is_one_trace_from_the_api_to_redis(
    world: HttpWorld, node: str, collector: Collector
) -> None:
    healthy = told(collector, DEPLOY, "cellnode-health", "change status", status="HEALTHY")
    projected = told(collector, DEPLOY, "cellnode-health", "apply projection")
    whole = collector.path(DEPLOY, healthy)
    assert whole[:4] == [
        ("cellnode-gateway", "PUT"),
        ("cellnode-api", "PUT"),
        ("cellnode-api", "send cellnode.commands"),
        ("cellnode-provisioner", "process cellnode.commands"),
    ]
    assert ("cellnode-provisioner", "create instance") in whole
    assert whole[-1] == ("cellnode-health", "change status")
    assert collector.path(DEPLOY, projected)[0] == ("cellnode-gateway", "PUT")
    assert all(collector.path(DEPLOY, one)[0] == whole[0] for one in collector.of(DEPLOY).values())


def test_an_error_answer_names_its_trace(world: HttpWorld, node: str) -> None:
    raised = asked(world, f"POST /v1/nodes/{node}:execute", {"input": {"x": None}}, FAILED)
    unknown = asked(world, "POST /v1/nodes/unknown:execute", {}, FAILED)
    elsewhere = asked(world, "GET /v1/nodes/unknown", None, FAILED)
    assert [one["trace_id"] for one in (raised, unknown, elsewhere)] == [FAILED] * 3
    assert [one["code"] for one in (raised, unknown, elsewhere)] == [
        "cell-error",
        "node-unknown",
        "node-unknown",
    ]


def test_log_lines_name_the_trace(world: HttpWorld, node: str) -> None:
    for service in ("gateway", "provisioner"):
        assert DEPLOY in world.system.log(service)
