"""Every record that a running system has put on the bus is as its AsyncAPI document says."""

from __future__ import annotations

import json
import urllib.request
from collections import Counter
from typing import Any

import pytest

from tests.e2e.bus import publish_bytes
from tests.e2e.outside import everything_on
from tests.e2e.system import System
from tests.e2e.waiting import until
from tests.e2e.world import World
from tests.schemas.bus_document import complaints

pytestmark = pytest.mark.full

NO_COMMAND = b'{"kind": "no command, of test_bus_document"}'


def document(system: System) -> dict[str, Any]:
    with urllib.request.urlopen(
        "http://{}:{}/asyncapi.json".format(*system.gateway), timeout=10
    ) as answer:
        return dict(json.loads(answer.read()))


def value_of(record: Any) -> Any:
    """JSON where it is some; what was buried is told as text."""
    if record.value is None or record.topic == "cellnode.dead-letters":
        return None if record.value is None else repr(record.value)
    return json.loads(record.value)


def headers_of(record: Any) -> dict[str, str]:
    return {name: value.decode() for name, value in record.headers}


def buried(system: System) -> dict[tuple[str, int, int], bytes]:
    """What was put aside, by this test's doing or another's, by the place where it still lies."""
    letters = [at for at in everything_on(system.kafka) if at.topic == "cellnode.dead-letters"]
    told = [(headers_of(letter), letter.value) for letter in letters]
    return {(h["x-topic"], int(h["x-partition"]), int(h["x-offset"])): v for h, v in told}


def test_a_node_from_its_making_to_its_end(world: World, system: System) -> None:
    node = world.deploy(world.pin(), "y = 1", outputs=["y"], want=2)
    world.command("ScaleNode", "nobody", want=1)  # Refused.
    world.system.kill_instance(world.statuses.instances(node)[0])
    world.recreate(node, 2)
    world.command("DeleteNode", node)
    world.statuses.wait(f"default/{node}", "gone")
    publish_bytes(system.kafka, NO_COMMAND, b"default/nobody")
    until("what is no command is put aside", lambda: NO_COMMAND in buried(system).values())
    told, put_aside, seen = document(system), buried(system), Counter[str]()

    for record in everything_on(system.kafka):
        if (record.topic, record.partition, record.offset) in put_aside:
            continue
        seen[record.topic] += 1
        wrong = complaints(told, record.topic, value_of(record), headers_of(record))
        assert wrong == [], (record.topic, record.key, record.value, record.headers)
    assert {"commands", "outcomes", "nodes", "instances", "statuses"} <= {
        topic.removeprefix("cellnode.") for topic in seen
    }
