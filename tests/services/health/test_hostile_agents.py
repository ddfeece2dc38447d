"""Whatever an agent says of itself, its status can be told: one instance must not end health."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest

from schemas.evolution import AgentPhase, Observed, evolve_phases
from schemas.instances import Instance
from schemas.statuses import Reason
from services.chassis.bus_producer import RECORD_BYTES_MAX
from services.chassis.clock import SYSTEM_CLOCK
from services.health.outbox import Event, Gone, Outgoing
from services.health.statuses import PartitionStatuses
from tests.builders import NOON, a_node, after, an_instance

NODE = a_node()
FACT = an_instance(NODE, created_at=NOON, endpoint="unix:/s")


class Told:
    """Keeps the events."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def outgoing(self, outgoing: Outgoing) -> None:
        assert not isinstance(outgoing, Gone)
        self.events.append(outgoing)

    def dirty(self) -> None:
        pass

    def contactable(self, fact: Instance, *, is_so: bool) -> None:
        pass

    def refused(self, instance: str, refusal: Exception) -> None:
        raise refusal


def phases(evidence: dict[str, Any], *, sentence: str = "", turns: int = 1) -> list[AgentPhase]:
    """As they come out of the JSON of an agent's answer."""
    told = [
        {
            "seq": 2 * turn + step + 1,
            "phase": ("failed", "ready")[step],
            "sentence": sentence,
            "evidence": evidence,
            "at": after(2 * turn + step).isoformat(),
        }
        for turn in range(turns)
        for step in range(2)
    ]
    return [AgentPhase.model_validate(one) for one in json.loads(json.dumps(told))]


def told_of(history: list[AgentPhase]) -> list[Event]:
    told = Told()
    statuses = PartitionStatuses(told, SYSTEM_CLOCK)
    statuses.heard_node(NODE.place, NODE)
    statuses.heard_instance(FACT.instance, FACT)
    statuses.take_phases(FACT, history)
    return told.events


@pytest.mark.parametrize("evidence", [{"log": "\ud800"}, {"\udfff": "log"}])
def test_text_that_is_no_unicode_can_be_told(evidence: dict[str, Any]) -> None:
    events = told_of(phases(evidence, sentence="half a pair: \ud83d"))

    assert events[-1].status.value == "HEALTHY"
    for event in events:
        assert type(event).model_validate_json(event.model_dump_json()) == event


@pytest.mark.parametrize("letter", ["\0", "\N{PARTY POPPER}", '"'])
def test_the_largest_event_fits_into_a_record(letter: str) -> None:
    evidence = {f"{n:02}" + letter * 5_000: letter * 5_000 for n in range(30)}
    events = told_of(phases(evidence, sentence=letter * 1_000, turns=20))

    assert len(events[-2].model_dump_json().encode()) < RECORD_BYTES_MAX


def test_what_a_terminal_would_obey_is_not_passed_on() -> None:
    observed = evolve_phases(Observed.wanted(NOON), phases({"log": "\x1b[2Jone\ttwo\n"}))

    failed = next(one for one in observed.entered if one.reason is Reason.LOAD_FAILED)
    assert failed.evidence["log"] == "\N{REPLACEMENT CHARACTER}[2Jone\ttwo\n"


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00"])
def test_a_clock_of_any_year_dates_nothing_outside_the_instances_life(at: str) -> None:
    told = [one.model_copy(update={"at": datetime.fromisoformat(at)}) for one in phases({})]
    events = told_of(told)

    assert events[-1].status.value == "HEALTHY"
    for event in events[1:]:
        assert FACT.wanted_at <= event.since <= SYSTEM_CLOCK.now()
