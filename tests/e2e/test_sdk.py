"""What a person does in Python: pin, deploy, call, look, change; everything real."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

import cellnode
from cellnode import CellFailed, Client, Conflict, Event, Invalid, Node, NodeUnhealthy, NotFound
from cellnode.models import NodeView
from tests.e2e.system import System
from tests.e2e.waiting import until
from tests.e2e.world import Gate

BASE64 = {"type": "string", "contentEncoding": "base64"}
TIME = {"type": "string", "format": "date-time"}


@pytest.fixture(scope="module")
def client(system: System) -> Iterator[Client]:
    with cellnode.connect(system.addresses["gateway"]) as found:
        yield found


@pytest.fixture
def name(client: Client) -> Iterator[str]:
    """Of a node that is deleted after the test."""
    found = f"s{uuid4().hex[:6]}"
    yield found
    with suppress(NotFound):
        client.node(found).delete(wait=False)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a local store that is not the server's."""
    monkeypatch.setenv("CELLNODE_STORE", str(tmp_path / "store"))
    return tmp_path


def pinned(client: Client, **namespace: Any) -> cellnode.Pin:
    return cellnode.pin("state", namespace=namespace, client=client, check=False)


def test_a_pinned_state_and_a_cell_become_a_node_that_answers(
    client: Client, folder: Path, name: str
) -> None:
    pin = pinned(client, weights=np.array([1.0, 2.0, 3.0]), image=np.zeros(3))
    views: list[NodeView] = []

    cell = "\n    total = float(weights @ image)\n    "
    node = client.deploy(
        name, pin, cell=cell, inputs="image", outputs="total", want=2, on_progress=views.append
    )

    assert node.call(image=np.arange(3)) == {"total": 8.0}
    assert node.call({"image": [1, 1, 1]}) == {"total": 6.0}
    assert [view.status.status for view in views if view.status][-1] == "HEALTHY"
    assert len(views) > 1, "each view differs from the one before"
    assert (node.status, node.view().cost.units_per_hour) == ("HEALTHY", 2.0)
    assert node.why().startswith(f"{name} is HEALTHY (ENOUGH_HEALTHY)")
    assert name in [view.node for view in client.nodes()]


async def test_many_calls_may_be_under_way_at_once(client: Client, folder: Path, name: str) -> None:
    pin = pinned(client, k=2)
    node = await asyncio.to_thread(
        client.deploy, name, pin, cell="y = x * k", inputs="x", outputs="y"
    )

    answers = await asyncio.gather(*(node.call_async(x=x) for x in range(20)))

    assert answers == [{"y": 2 * x} for x in range(20)]
    await client.close_async()


def test_values_go_and_come_as_the_node_s_document_says(
    client: Client, folder: Path, name: str
) -> None:
    kinds = {"raw": BASE64, "at": TIME}
    node = client.deploy(name, pinned(client, x=1), cell="pass", inputs=kinds, outputs=kinds)
    noon = datetime(2026, 5, 4, 12, tzinfo=timezone.utc)

    assert node.call(raw=b"\0\xff", at=noon) == {"raw": b"\0\xff", "at": noon}


def test_what_is_wrong_with_a_call_is_a_typed_error(
    client: Client, folder: Path, name: str
) -> None:
    node = client.deploy(name, pinned(client, x=0), cell="y = 1 / x", inputs="x", outputs="y")

    with pytest.raises(CellFailed, match="ZeroDivisionError") as failed:
        node.call(x=0)
    with pytest.raises(Invalid) as mistyped:
        node.call(x="text")
    with pytest.raises(NotFound) as unknown:
        client.node("never-made").call(x=1)

    assert "y = 1 / x" in (failed.value.traceback or "")
    assert (mistyped.value.field, unknown.value.code) == ("input.x", "node-unknown")
    assert failed.value.request_id


def test_a_node_is_changed_and_waited_for(client: Client, folder: Path, name: str) -> None:
    node = client.deploy(name, pinned(client, n=0), cell="n += 1", outputs="n")

    assert [node.call()["n"], node.call()["n"]] == [1, 2]
    assert node.recreate().spec.instances.want == 1
    until("the new state answers", lambda: node.call()["n"] == 1)
    assert node.scale(2).status is not None
    assert node.view().status.healthy_of_revision == 2  # type: ignore[union-attr]
    assert node.suspend().cost.units_per_hour == 0.0
    with pytest.raises(cellnode.Unavailable, match="suspended"):
        node.call()
    assert node.resume().spec.instances.want == 2
    assert node.call()["n"] == 1


def test_a_node_that_cannot_get_healthy_says_why_at_once(
    client: Client, folder: Path, name: str
) -> None:
    with pytest.raises(NodeUnhealthy, match="SyntaxError") as raised:
        client.deploy(name, pinned(client, x=1), cell="y = ", outputs="y")

    assert raised.value.document["reason"] == "LOAD_FAILED"
    until("it is told later, too", lambda: "SyntaxError" in client.node(name).why())


@pytest.mark.full
def test_who_waits_too_long_gets_what_was_last_seen(
    client: Client, folder: Path, name: str
) -> None:
    gate = Gate(folder)
    pin = pinned(client, gate=gate)

    with pytest.raises(cellnode.WaitTimedOut, match=r"not there after 1 s: .* is CREATED") as late:
        client.deploy(name, pin, cell="y = 1", outputs="y", timeout_seconds=1)
    gate.open()

    assert late.value.view is not None
    assert client.node(name).wait("HEALTHY", timeout_seconds=20).node == name


def test_a_name_that_only_this_machine_knows_is_brought(
    client: Client, folder: Path, name: str
) -> None:
    cellnode.pin(name, namespace={"k": 3}, upload=False, check=False)

    node = client.deploy(name, name, cell="y = k", outputs="y")

    assert node.call() == {"y": 3}
    assert [pin.name for pin in client.pins() if pin.name == name] == [name]


def test_a_change_that_somebody_else_has_made_is_not_overwritten(
    client: Client, folder: Path, name: str
) -> None:
    spec = {"checkpoint": pinned(client, k=3).digest, "cell": "y = k", "outputs": ["y"]}
    client.apply(name, spec, if_generation=0)

    with pytest.raises(Conflict) as stale:
        client.apply(name, spec, if_generation=0)

    assert stale.value.code == "precondition-failed"


def test_a_script_with_a_marked_cell_becomes_a_node(
    client: Client, folder: Path, name: str
) -> None:
    path = folder / "train.py"
    path.write_text(f"k = 2\n# %% [node] {name} --inputs x --outputs y\ny = x * k\n")

    (node,) = cellnode.deploy_file(path, client=client)

    assert node.call(x=4) == {"y": 8}


def test_what_a_node_prints_and_goes_through_can_be_read(
    client: Client, folder: Path, name: str
) -> None:
    node = client.deploy(name, pinned(client, x=1), cell="print('seen', x)\ny = x", outputs="y")
    node.call()

    until("the line is there", lambda: "seen 1" in [line.line for line in node.logs()])
    kinds = [event.kind for event in node.events()]
    assert "CommandAccepted" in kinds
    assert kinds.count("NodeStatusChanged") >= 2


@pytest.mark.full
def test_a_deleted_node_is_gone_when_it_is_said(client: Client, folder: Path, name: str) -> None:
    node = client.deploy(name, pinned(client, x=1), cell="y = x", outputs="y")

    node.delete()

    with pytest.raises(NotFound):
        node.view()
    with pytest.raises(NotFound):
        node.call()


def follow(node: Node, client: Client, found: list[Event]) -> None:
    for event in client.events(node=node.name):
        found.append(event)
        if event.kind == "NodeGone":
            return


@pytest.mark.full
def test_events_and_waits_outlive_an_api_that_is_killed(
    client: Client, folder: Path, name: str, system: System
) -> None:
    node = client.deploy(name, pinned(client, x=1), cell="y = x", outputs="y")
    found: list[Event] = []
    follower = threading.Thread(target=follow, args=(node, client, found), daemon=True)
    follower.start()
    node.scale(2)
    until("it is heard", lambda: found)

    system.kill_service("api")
    node.scale(3)
    system.kill_service("api")
    node.delete()
    follower.join(30)

    assert not follower.is_alive()
    commands = [event for event in found if event.kind == "CommandAccepted"]
    assert len(commands) == 3
    assert all(a.id != b.id for a, b in itertools.combinations(found, 2))
