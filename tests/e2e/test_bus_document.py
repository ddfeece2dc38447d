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
from tests.e2e.world import World
from tests.schemas.bus_document import complaints

pytestmark = pytest.mark.full


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


def test_a_node_from_its_making_to_its_end(world: World, system: System) -> None:
    node = world.deploy(world.pin(), "y = 1", outputs=["y"], want=2)
    refused = world.name()
    world.command("ScaleNode", refused, want=1)
    world.system.kill_instance(world.statuses.instances(node)[0])
    world.recreate(node, 2)
    world.command("DeleteNode", node)
    world.statuses.wait(f"default/{node}", "gone")
    publish_bytes(system.kafka, b"{", b"default/no-command")
    told, seen = document(system), Counter[str]()
    ours = {f"default/{name}".encode() for name in (node, refused)}

    for record in everything_on(system.kafka):
        if record.topic == "cellnode.commands" and record.key not in ours:
            continue  # Anyone may put anything there, as other tests do.
        seen[record.topic] += 1
        headers = {name: value.decode() for name, value in record.headers}
        wrong = complaints(told, record.topic, value_of(record), headers)
        assert wrong == [], (record.topic, record.key, record.value, headers)
    assert {"commands", "outcomes", "nodes", "instances", "statuses"} <= {
        topic.removeprefix("cellnode.") for topic in seen
    }
