"""Each change of a status counts once: repeated, merged, or published by a former owner."""

from __future__ import annotations

from collections import Counter

import pytest

from schemas.statuses import InstanceStatus, Reason, Transition
from services.health.ledger import Change, changes
from tests.builders import a_node, after
from tests.exposition import label_values, number, promtool_says, samples, series, shown
from tests.services.health.ledgers import Changes, Log, Part, seen_outside
from tests.services.health.test_nodes import an_event

NODE = a_node()
S = InstanceStatus
CHANGES = "cellnode_health_status_changes_total"
NODES = 200


def counted(part: Part) -> Changes:
    found = [one for one in samples(part.text) if one.name == CHANGES and one.value]
    return Counter({
        (one.labels["from"], one.labels["to"], one.labels["reason"]): int(one.value)
        for one in found
    })  # fmt: skip


def told(*steps: tuple[InstanceStatus, Reason, float]) -> tuple[Transition, ...]:
    return tuple(
        Transition(status=status.value, reason=reason, at=after(at)) for status, reason, at in steps
    )


@pytest.mark.parametrize("unheard", [(), (1,), (2, 6), (3, 9), (5, 12)])
async def test_what_goes_out_twice_counts_once(unheard: tuple[int, ...]) -> None:
    part = Part(Log(*unheard))
    ((node, fact),) = await part.deploys("digits")
    await part.kills(node, fact)
    await part.deletes((node, fact))

    assert counted(part) == seen_outside(part.log)
    assert counted(part)["none", "UNDEFINED", "WANTED"] == 1
    assert counted(part)["HEALTHY", "UNHEALTHY", "PROCESS_EXITED"] == 1
    assert counted(part)["DELETING", "gone", "DELETE_REQUESTED"] == 1


async def test_who_takes_over_counts_on_and_nothing_again() -> None:
    first = Part(Log())
    ((node, fact),) = await first.deploys("digits")
    second = Part(first.log)
    published = [event for _, event in first.log.taken if event is not None]
    last = {event.key: event for event in published}
    second.ledger.resume(last.values())
    second.statuses.resume(last.values())
    second.hear(node, fact)
    await second.told()
    assert counted(second) == Counter()
    assert number(second.text, "cellnode_health_node_status", node="default/digits") == 1

    await second.kills(node, fact)
    both = counted(first) + counted(second)
    assert both == seen_outside(first.log)
    lasted = number(second.text, "cellnode_health_status_duration_seconds_count", kind="instance")
    assert lasted == 1, "of HEALTHY, which began under the first owner"


def test_what_an_outage_has_merged_counts_as_what_it_was() -> None:
    history = told((S.HEALTHY, Reason.READY, 0))
    known = an_event(NODE, 1, S.HEALTHY, transitions=history)
    merged = told(
        (S.UNHEALTHY, Reason.PROBES_FAILED, 5),
        (S.HEALTHY, Reason.PROBES_PASSED, 7),
        (S.DELETING, Reason.SCALED_DOWN, 107),
    )
    event = an_event(NODE, 1, S.DELETING, Reason.SCALED_DOWN, transitions=history + merged)

    assert list(changes(known, event)) == [
        Change("instance", "HEALTHY", "UNHEALTHY", Reason.PROBES_FAILED, 5.0),
        Change("instance", "UNHEALTHY", "HEALTHY", Reason.PROBES_PASSED, 2.0),
        Change("instance", "HEALTHY", "DELETING", Reason.SCALED_DOWN, 100.0),
    ]
    assert list(changes(event, event)) == []


def test_a_new_reason_alone_is_no_change() -> None:
    first = told((S.UNDEFINED, Reason.WANTED, 0))
    known = an_event(NODE, 1, S.UNDEFINED, Reason.WANTED, transitions=first)
    full = first + told((S.UNDEFINED, Reason.NO_CAPACITY, 3))
    waits = an_event(NODE, 1, S.UNDEFINED, Reason.NO_CAPACITY, transitions=full)
    there = full + told((S.CREATED, Reason.VM_CREATED, 10))
    event = an_event(NODE, 1, S.CREATED, Reason.VM_CREATED, transitions=there)

    assert list(changes(known, waits)) == []
    (change,) = changes(waits, event)
    assert change == Change("instance", "UNDEFINED", "CREATED", Reason.VM_CREATED, 10.0)


def test_a_clock_that_went_back_gives_no_time_below_nothing() -> None:
    history = told((S.HEALTHY, Reason.READY, 0), (S.UNHEALTHY, Reason.PROBES_FAILED, -60))
    known = an_event(NODE, 1, S.HEALTHY, transitions=history[:1])
    (change,) = changes(known, an_event(NODE, 1, S.UNHEALTHY, transitions=history))

    assert change.lasted_seconds == 0


@pytest.mark.full
async def test_two_hundred_nodes_that_are_gone_leave_no_series() -> None:
    part = Part(Log())
    before = series(part.text)
    there = await part.deploys(*(f"node-{n}" for n in range(NODES)))
    most = part.text
    assert len(label_values(most, "node")) == len(label_values(most, "instance_id")) == NODES
    await part.deletes(*there)

    assert label_values(part.text, "node") == label_values(part.text, "instance_id") == set()
    assert part.ledger.changes == {}
    assert series(most) - before > NODES * 5
    left = series(part.text) - before
    assert left < 200, "histograms by status; none of them by name"
    await part.deletes(*await part.deploys("node-1"))
    assert series(part.text) - before == left


async def test_a_partition_that_is_lost_takes_its_series_along() -> None:
    part = Part(Log())
    await part.deploys("digits")
    part.measures.owned = {}

    assert label_values(part.text, "node") == set()
    assert number(part.text, "cellnode_health_nodes") == 0
    assert counted(part)["none", "CREATED", "DEPLOYED"] == 1, "what this process has done stays"


async def test_health_shows_what_its_page_says() -> None:
    part = Part(Log())
    await part.deploys("digits")
    node = {"node": "default/digits"}

    assert promtool_says(part.text) == ""
    assert number(part.text, "cellnode_health_node_status", **node, status="HEALTHY") == 1
    assert number(part.text, "cellnode_health_nodes", status="HEALTHY") == 1
    assert number(part.text, "cellnode_health_instances", status="HEALTHY") == 1
    assert number(part.text, "cellnode_health_node_healthy_instances", **node) == 1
    start = "cellnode_health_start_phase_duration_seconds_count"
    for phase in ("UNDEFINED", "CREATED", "STARTED", "PREPARING"):
        assert number(part.text, start, phase=phase) == 1
    change = {"from": "CREATED", "to": "HEALTHY", "reason": "ENOUGH_HEALTHY"}
    assert number(part.text, "cellnode_health_node_status_changes_total", **node, **change) == 1


def test_its_names_are_a_contract() -> None:
    assert shown(Part(Log()).metrics, "cellnode_health_") == {
        "status_changes_total": ("counter", "kind from to reason"),
        "status_duration_seconds": ("histogram", "kind status"),
        "start_phase_duration_seconds": ("histogram", "phase"),
        "illegal_moves_total": ("counter", ""),
        "node_status": ("gauge", "node status"),
        "node_status_changes_total": ("counter", "node from to reason"),
        "node_healthy_instances": ("gauge", "node"),
        "node_wanted_instances": ("gauge", "node"),
        "node_minimum_instances": ("gauge", "node"),
        "instance_status": ("gauge", "node instance_id status"),
        "nodes": ("gauge", "status"),
        "instances": ("gauge", "status"),
        "contacts": ("gauge", ""),
        "probes_total": ("counter", "outcome"),
        "probe_duration_seconds": ("histogram", ""),
        "probe_lateness_seconds": ("histogram", ""),
        "partitions": ("gauge", ""),
        "outbox_pending": ("gauge", ""),
        "projection_rebuilds_total": ("counter", ""),
        "projection_age_seconds": ("gauge", "partition"),
        "projection_failures": ("gauge", "partition"),
    }
