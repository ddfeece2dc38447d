"""A node's view as its events make it, and when it is there, in trouble, or gone."""

import itertools
from dataclasses import replace
from typing import Any

import pytest

from cellnode import NodeUnhealthy, NotFound, Unavailable, WaitTimedOut
from cellnode.events import Event
from cellnode.models import NodeView
from cellnode.node import Node
from cellnode.origin import Origin
from cellnode.telling import why
from cellnode.watching import LASTING, Watch, folded, healthy, in_status
from services.api.verdicts import HOPELESS
from tests.cellnode.sample_node import NODE, SINCE
from tests.cellnode.site import Reply, Site, answer, problem, serving, streamed

STATUS = NODE["status"]
VIEW = NodeView.from_json(NODE)


def changed(kind: str, **data: Any) -> Event:
    return Event("1", kind, {"uid": NODE["uid"], "node": "digits", **data})


def instance(number: int, status: str, reason: str = "READY") -> dict[str, Any]:
    return {
        "instance": f"digits-6f1c0b-{number}", "revision": "0" * 64, "status": status,
        "reason": reason, "sentence": f"{reason} of {number}.", "since": SINCE,
        "evidence": {"line": "ValueError: bad"},
    }  # fmt: skip


def frame(kind: str, data: dict[str, Any]) -> bytes:
    import json

    document = {"uid": NODE["uid"], "node": "digits", **data}
    return f"id: 1\nevent: {kind}\ndata: {json.dumps(document)}\n\n".encode()


def test_events_of_instances_come_go_and_stand_in_order() -> None:
    view = VIEW
    for number in (10, 2):
        view = folded(view, changed("InstanceStatusChanged", **instance(number, "CREATED")))
    view = folded(view, changed("InstanceStatusChanged", **instance(2, "HEALTHY")))
    assert [each.instance[-2:] for each in view.instances] == ["-2", "10"]
    assert view.instances[0].status == "HEALTHY"

    view = folded(view, changed("InstanceGone", instance="digits-6f1c0b-2"))

    assert [each.instance for each in view.instances] == ["digits-6f1c0b-10"]


def test_events_of_another_life_of_the_name_change_nothing() -> None:
    event = changed("NodeStatusChanged", **{**STATUS, "status": "UNHEALTHY", "uid": "other"})

    assert folded(VIEW, event) is VIEW


@pytest.mark.parametrize(
    ("generation", "count", "change", "is_there"),
    [
        (2, None, {}, True),
        (1, None, {}, True),
        (3, None, {}, False),
        (2, 2, {}, False),
        (2, None, {"healthy_of_revision": 0}, False),
        (2, None, {"healthy": 9}, False),  # Older ones still answer.
        (2, None, {"status": "UNHEALTHY"}, False),
    ],
)
def test_a_node_is_there_when_enough_of_this_generation_are_healthy(
    generation: int, count: int | None, change: dict[str, Any], is_there: bool
) -> None:
    view = folded(VIEW, changed("NodeStatusChanged", **{**STATUS, **change}))

    assert healthy(generation, count)(view) is is_there


def test_a_node_that_was_not_looked_at_is_nowhere() -> None:
    view = replace(VIEW, status=None)

    assert not healthy(1)(view)
    assert not in_status("HEALTHY")(view)


def test_what_no_retry_mends_is_raised_with_its_evidence() -> None:
    status = changed("NodeStatusChanged", **{**STATUS, "status": "UNHEALTHY"})
    broken = changed("InstanceStatusChanged", **instance(1, "UNHEALTHY", "LOAD_FAILED"))
    passing = changed("InstanceStatusChanged", **instance(1, "UNHEALTHY", "PROBES_FAILED"))
    view = folded(VIEW, status)

    assert not healthy(2)(folded(view, passing))
    with pytest.raises(NodeUnhealthy, match=r"LOAD_FAILED of 1\.\nline: ValueError: bad") as raised:
        healthy(2)(folded(view, broken))
    assert raised.value.document["evidence"] == {"line": "ValueError: bad"}


def test_why_names_every_instance_in_trouble_once() -> None:
    view = folded(VIEW, changed("InstanceStatusChanged", **instance(1, "UNHEALTHY", "CRASHED")))
    view = folded(view, changed("InstanceStatusChanged", **instance(2, "HEALTHY")))

    assert why(view).splitlines() == [
        "digits is HEALTHY (READY): Fine.",
        "digits-6f1c0b-1 is UNHEALTHY (CRASHED): CRASHED of 1.",
        "line: ValueError: bad",
    ]


def watched(site: Site, seconds: float) -> tuple[NodeView, list[NodeView]]:
    origin, seen = Origin(site.url, "default", 5.0), list[NodeView]()
    try:
        return Watch(origin, "digits", seconds).until(healthy(3), seen.append), seen
    finally:
        origin.close()


def test_a_wait_follows_events_across_a_cut_and_tells_each_change() -> None:
    third = frame("NodeStatusChanged", {**STATUS, "generation": 3})
    first = frame("InstanceStatusChanged", instance(1, "CREATED"))
    cut = streamed(first, ends=False)
    with serving(cut, answer(NODE), Reply(is_cut=True), streamed(third), answer(NODE)) as site:
        view, seen = watched(site, 5.0)

    assert view.status is not None
    assert view.status.generation == 3
    assert [len(each.instances) for each in seen] == [0, 1, 0, 0]
    assert all(a != b for a, b in itertools.pairwise(seen))
    streams = [each for each in site.requests if "events" in each.target]
    assert [each.headers.get("last-event-id") for each in streams] == [None, "1", "1"]


def test_who_has_waited_and_looks_sees_it_too() -> None:
    """Events come a moment before the view that the server reads."""
    third = frame("NodeStatusChanged", {**STATUS, "generation": 3})
    there = {**NODE, "status": {**STATUS, "generation": 3}}
    with serving(streamed(third), answer(NODE), answer(NODE), answer(there)) as site:
        view, _ = watched(site, 5.0)
        looks = [each for each in site.requests if "events" not in each.target]

    assert view == NodeView.from_json(there)
    assert len(looks) == 3


def test_who_is_told_that_it_cannot_get_healthy_and_looks_sees_it_too() -> None:
    new, broken = {**NODE, "generation": 3}, instance(1, "UNHEALTHY", "LOAD_FAILED")
    trouble = {**STATUS, "status": "UNHEALTHY", "generation": 3}
    told = frame("InstanceStatusChanged", broken) + frame("NodeStatusChanged", trouble)
    there = {**new, "status": trouble, "instances": [broken]}
    with serving(streamed(told), answer(new), answer(new), answer(there)) as site:
        with pytest.raises(NodeUnhealthy):
            watched(site, 5.0)
        looks = [each for each in site.requests if "events" not in each.target]

    assert len(looks) == 3


def test_a_silent_stream_is_no_reason_to_miss_what_has_come() -> None:
    silent = Reply(streamed(b": hello\n\n").data.removesuffix(b"0\r\n\r\n"))
    there = {**NODE, "status": {**STATUS, "generation": 3}}
    with serving(silent, answer(NODE), silent, answer(there)) as site:
        view, _ = watched(site, 5.0)

    assert view.status is not None
    assert view.status.generation == 3


def test_a_wait_that_is_over_tells_what_was_last_seen() -> None:
    silent = Reply(streamed(b": hello\n\n").data.removesuffix(b"0\r\n\r\n"))
    with (
        serving(silent, answer(NODE)) as site,
        pytest.raises(WaitTimedOut, match=r"not there after 0\.2 s: digits is HEALTHY") as late,
    ):
        watched(site, 0.2)

    assert late.value.view == VIEW


def test_a_node_that_is_gone_is_not_waited_for() -> None:
    with (
        serving(streamed(b": hello\n\n"), problem("node-unknown")) as site,
        pytest.raises(NotFound),
    ):
        watched(site, 5.0)


def test_a_call_just_after_a_change_waits_for_the_gateway_to_hear_of_it() -> None:
    unknown = problem("node-unknown")
    with serving(unknown, unknown, answer({"output": {"y": 1}}), problem("not-found")) as site:
        origin = Origin(site.url, "default", 5.0)
        node = Node(origin, "digits")
        with pytest.raises(NotFound):
            node.call()
        node._caller.expect_soon()
        assert node.call() == {"y": 1}
        origin.close()


def test_a_suspended_node_is_told_at_once() -> None:
    with serving(problem("node-suspended", "Cellnode-Not-Executed: true\r\n")) as site:
        origin = Origin(site.url, "default", 5.0)
        with pytest.raises(Unavailable):
            Node(origin, "digits").call()
        origin.close()

    assert len(site.requests) == 1


@pytest.mark.parametrize("reason", sorted(HOPELESS))
def test_what_the_api_does_not_wait_for_the_sdk_does_not_either(reason: str) -> None:
    assert reason in LASTING


def test_a_node_that_its_owner_stopped_is_not_waited_for_until_it_is_resumed() -> None:
    stopped = {**STATUS, "status": "SUSPENDED", "healthy_of_revision": 0}
    suspended = changed("NodeStatusChanged", **{**stopped, "reason": "SUSPENDED_BY_OWNER"})
    resumed = changed("NodeStatusChanged", **{**stopped, "reason": "RESUMED"})

    assert not healthy(2)(folded(VIEW, resumed))
    with pytest.raises(NodeUnhealthy, match="resume"):
        healthy(2)(folded(VIEW, suspended))
    later = replace(folded(VIEW, suspended), generation=VIEW.generation + 1)
    assert not healthy(2)(later), "what was seen is older than what was asked"
