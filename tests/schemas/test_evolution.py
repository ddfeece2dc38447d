"""What is observed of an instance: facts, phases and verdicts folded in, whatever is repeated."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import IllegalMove
from schemas.events import InstanceStatusChanged
from schemas.evolution import (
    EVIDENCE_CHARACTERS_MAX,
    EVIDENCE_NAME_CHARACTERS_MAX,
    REMEMBERED_CHARACTERS_MAX,
    AgentPhase,
    Folded,
    Observed,
    Step,
    evolve,
    evolve_phases,
    fold,
)
from schemas.instances import Instance
from schemas.statuses import (
    INSTANCE_MOVES,
    START_PATH,
    TRANSITIONS_MAX,
    InstanceStatus,
    Reason,
)
from tests.builders import NOON, a_node, after, an_id, an_instance

S = InstanceStatus
NODE = a_node()
START = list(START_PATH)


def observed_as(status: InstanceStatus, reason: Reason = Reason.WANTED) -> Observed:
    return Observed(status, reason, "", NOON)


def fact(kind: str = "InstanceWanted", **changes: Any) -> Instance:
    return an_instance(NODE, 1, kind=kind, **changes)


def created(**changes: Any) -> Instance:
    return fact("InstanceCreated", created_at=after(1), endpoint="unix:/a", **changes)


def refused(reason: str, at: float = 1, *difference: str) -> Instance:
    told = {"reason": reason, "at": after(at), "retry_at": after(at + 5), "times": 1}
    return fact("InstanceRefused", refused={**told, "difference": difference})


def exited(**changes: Any) -> Instance:
    ended = {"signal": 9, "at": after(8), "last_lines": ("one", "two")}
    return fact("InstanceExited", created_at=after(1), exited=ended, **changes)


def deleting(**changes: Any) -> Instance:
    gone = {"reason": "SCALED_DOWN", "at": after(9)}
    return fact("InstanceDeleting", created_at=after(1), deleting=gone, **changes)


def phases(*names: str | tuple[str, str], first: int = 1) -> list[AgentPhase]:
    """One a second from second 2 on; a pair is a phase with its reason."""
    entries = []
    for n, name in enumerate(names):
        phase, reason = (name, None) if isinstance(name, str) else name
        seq = first + n
        entries.append(AgentPhase(seq=seq, phase=phase, reason=reason, at=after(1 + seq)))
    return entries


READY = phases("started", "preparing", "ready")


def statuses(folded: Folded) -> list[InstanceStatus]:
    return [value.status for value in folded.entered]


def running() -> Observed:
    return evolve_phases(evolve(None, created()).observed, READY).observed


def has_status(value: Observed) -> tuple[InstanceStatus, Reason]:
    return value.status, value.reason


@pytest.mark.parametrize(("now", "to"), list(product(S, repeat=2)))
def test_every_move_is_made_or_refused_as_the_table_says(
    now: InstanceStatus, to: InstanceStatus
) -> None:
    before = observed_as(now)
    if to is now or to in INSTANCE_MOVES[now]:
        assert before.to(to, Reason.READY, after(1)).status is to
    else:
        with pytest.raises(IllegalMove):
            before.to(to, Reason.READY, after(1))


def test_a_repeated_move_changes_nothing() -> None:
    once = observed_as(S.HEALTHY).to(S.UNHEALTHY, Reason.PROBES_FAILED, after(1), {"error": "x"})

    assert once.to(S.UNHEALTHY, Reason.PROBES_FAILED, after(2), {"error": "x"}) is once


def test_another_reason_in_the_same_status_is_told_but_since_stays() -> None:
    once = observed_as(S.HEALTHY).to(S.UNHEALTHY, Reason.PROBES_FAILED, after(1))
    twice = once.to(S.UNHEALTHY, Reason.PROCESS_EXITED, after(2))

    assert (twice.reason, twice.since) == (Reason.PROCESS_EXITED, after(1))
    assert [step.reason for step in twice.transitions[-2:]] == [
        Reason.PROBES_FAILED,
        Reason.PROCESS_EXITED,
    ]


def test_only_the_last_transitions_are_remembered() -> None:
    value = observed_as(S.HEALTHY)
    for n in range(TRANSITIONS_MAX):
        value = value.to(S.UNHEALTHY, Reason.PROBES_FAILED, after(2 * n))
        value = value.to(S.HEALTHY, Reason.PROBES_PASSED, after(2 * n + 1))

    assert len(value.transitions) == TRANSITIONS_MAX
    assert value.transitions[-1].at == after(2 * TRANSITIONS_MAX - 1)


def test_long_evidence_keeps_its_end() -> None:
    text = "a" * 100_000 + "ValueError: the end"
    value = observed_as(S.PREPARING).to(S.UNHEALTHY, Reason.LOAD_FAILED, NOON, {"traceback": text})

    assert value.evidence["traceback"].endswith("ValueError: the end")
    assert len(value.evidence["traceback"]) == EVIDENCE_CHARACTERS_MAX
    assert len(value.transitions[-1].evidence["traceback"]) == REMEMBERED_CHARACTERS_MAX


def test_evidence_has_a_bounded_number_of_pieces() -> None:
    many = {f"k{n}": "v" for n in range(1000)}

    assert len(observed_as(S.HEALTHY).to(S.UNHEALTHY, Reason.READY, NOON, many).evidence) == 16


def test_names_of_evidence_are_bounded_too() -> None:
    value = observed_as(S.PREPARING).to(S.UNHEALTHY, Reason.LOAD_FAILED, NOON, {"k" * 9_000: "v"})

    assert value.evidence == {"k" * EVIDENCE_NAME_CHARACTERS_MAX: "v"}


@pytest.mark.parametrize(
    ("record", "path", "reason"),
    [
        (fact(), [S.UNDEFINED], Reason.WANTED),
        (created(), [S.UNDEFINED, S.CREATED], Reason.VM_CREATED),
        (refused("NO_CAPACITY"), [S.UNDEFINED, S.UNDEFINED], Reason.NO_CAPACITY),
        (refused("FOREIGN_HOST"), [S.UNDEFINED, S.UNDEFINED], Reason.FOREIGN_HOST),
        (refused("PACKAGE_MISSING"), [S.UNDEFINED, S.UNHEALTHY], Reason.PACKAGE_MISSING),
        (exited(), [S.UNDEFINED, S.CREATED, S.UNHEALTHY], Reason.PROCESS_EXITED),
        (deleting(), [S.UNDEFINED, S.CREATED, S.DELETING], Reason.SCALED_DOWN),
    ],
)
def test_a_record_alone_tells_the_whole_way(
    record: Instance, path: list[InstanceStatus], reason: Reason
) -> None:
    """Compaction may have removed what came before it."""
    folded = evolve(None, record)

    assert (statuses(folded), folded.observed.reason) == (path, reason)
    assert folded.refused == ()
    assert evolve(folded.observed, record) == Folded(folded.observed)


def test_a_refusal_carries_the_exact_difference() -> None:
    value = evolve(None, refused("PACKAGE_MISMATCH", 1, "numpy: 1.26 wanted, 2.1 found")).observed

    assert value.evidence == {"difference": "numpy: 1.26 wanted, 2.1 found"}


def test_an_exit_carries_signal_and_last_lines() -> None:
    value = evolve(running(), exited()).observed

    assert has_status(value) == (S.UNHEALTHY, Reason.PROCESS_EXITED)
    assert value.evidence == {"signal": "9", "last_lines": "one\ntwo"}


def test_phases_lead_through_every_status_at_the_agents_times() -> None:
    folded = evolve_phases(evolve(None, created()).observed, READY)

    assert statuses(folded) == [S.STARTED, S.PREPARING, S.HEALTHY]
    assert [step.status for step in folded.observed.transitions] == [one.value for one in START]
    assert [value.since for value in folded.entered] == [after(2), after(3), after(4)]
    assert [value.phase_seq for value in folded.entered] == [1, 2, 3]


def test_a_cut_history_still_passes_every_status() -> None:
    folded = evolve_phases(evolve(None, fact()).observed, READY[2:])

    assert statuses(folded) == START[1:]
    assert folded.observed.reason is Reason.READY


def test_phases_told_again_change_nothing() -> None:
    assert evolve_phases(running(), READY) == Folded(running())


def test_facts_told_again_after_ready_change_nothing() -> None:
    assert evolve(running(), created()) == Folded(running())
    assert evolve(running(), fact()) == Folded(running())


def test_a_crash_between_two_looks_is_told_in_order() -> None:
    news = phases(("broken", "DEADLINE_KILLED"), ("ready", "STATE_LOST"), first=4)
    folded = evolve_phases(running(), [*READY, *news])

    assert [has_status(value) for value in folded.entered] == [
        (S.UNHEALTHY, Reason.DEADLINE_KILLED),
        (S.HEALTHY, Reason.STATE_LOST),
    ]


def test_a_failed_load_says_why_with_its_traceback() -> None:
    entry = AgentPhase(
        seq=3, phase="failed", reason="LOAD_FAILED", evidence={"traceback": "T"}, at=after(3)
    )
    value = evolve_phases(evolve(None, created()).observed, [*READY[:2], entry]).observed

    assert has_status(value) == (S.UNHEALTHY, Reason.LOAD_FAILED)
    assert value.evidence == {"traceback": "T"}


def test_an_unknown_phase_and_an_unknown_reason_do_no_harm() -> None:
    folded = evolve_phases(running(), phases("dreaming", ("broken", "COSMIC_RAY"), first=4))

    assert has_status(folded.observed) == (S.UNHEALTHY, Reason.INTERPRETER_CRASHED)
    assert folded.observed.phase_seq == 5


def test_draining_is_no_status_but_is_remembered_as_heard() -> None:
    folded = evolve_phases(running(), phases("draining", first=4))

    assert (folded.entered, folded.observed.phase_seq) == ((), 4)


def test_a_vm_on_another_host_is_as_its_agent_says_whoever_owns_its_record() -> None:
    foreign = refused("FOREIGN_HOST", 9).model_copy(update={"created_at": after(1)})

    assert evolve(running(), foreign) == Folded(running())


def test_a_refused_instance_that_is_created_later_goes_to_healthy_directly() -> None:
    """The table leads from UNHEALTHY to HEALTHY only; the way there is kept as evidence."""
    value = evolve(None, refused("PACKAGE_MISSING", 0.5, "numpy")).observed
    value = evolve(value, created()).observed
    assert value.evidence == {"difference": "numpy", "CREATED": after(1).isoformat()}
    folded = evolve_phases(value, READY)

    assert statuses(folded) == [S.UNHEALTHY, S.UNHEALTHY, S.HEALTHY]
    assert has_status(folded.observed) == (S.HEALTHY, Reason.READY)
    assert set(folded.observed.evidence) == {"CREATED", "STARTED", "PREPARING"}
    assert folded.refused == ()


def test_want_of_room_does_not_hide_a_fault() -> None:
    value = evolve(None, refused("PACKAGE_MISSING")).observed

    assert evolve(value, refused("NO_CAPACITY", 2)).observed.reason is Reason.PACKAGE_MISSING


def test_nothing_follows_deleting_and_what_cannot_be_is_handed_back() -> None:
    value = evolve(running(), deleting()).observed

    assert evolve_phases(value, phases("ready", first=9)) == Folded(value)
    assert evolve(value, deleting(exited={"code": 0, "at": after(10)})) == Folded(value)
    stale = evolve(value, exited())
    assert (stale.observed, len(stale.refused)) == (value, 1)


def test_an_exited_instance_hears_no_more_phases() -> None:
    value = evolve(running(), exited()).observed

    assert evolve_phases(value, phases("ready", first=9)) == Folded(value)


def test_a_published_event_is_enough_to_go_on() -> None:
    value = running()
    event = InstanceStatusChanged(
        id=an_id(1), node="digits", uid=NODE.uid, generation=1, at=NOON,
        reason=value.reason, sentence=value.sentence, evidence=value.evidence,
        since=value.since, transitions=value.transitions, instance=NODE.instance_id(1),
        revision=NODE.revision, status=value.status, phase_seq=value.phase_seq,
    )  # fmt: skip

    assert Observed.published(event) == value


RECORDS = [
    fact(), created(), refused("NO_CAPACITY"), refused("PACKAGE_MISSING"), exited(), deleting(),
    refused("LOAD_FAILED", 20),
]  # fmt: skip
NAMES = ["started", "preparing", "ready", "broken", "failed", "draining", "unheard-of"]
steps = st.builds(
    Step, st.sampled_from(S), st.sampled_from(Reason), st.integers(0, 50).map(after)
)  # fmt: skip
news = st.one_of(
    st.sampled_from(RECORDS),
    st.lists(st.sampled_from(NAMES), max_size=4).map(lambda names: phases(*names)),
    st.lists(steps, max_size=4),
)


def take(value: Observed, told: Any) -> Folded:
    if isinstance(told, Instance):
        return evolve(value, told)
    if told and isinstance(told[0], AgentPhase):
        return evolve_phases(value, told)
    return fold(value, told)


@given(st.lists(news, max_size=12))
def test_whatever_is_told_only_legal_moves_are_made(told: Sequence[Any]) -> None:
    value = Observed.wanted(NOON)
    path = [value.status]
    for one in told:
        folded = take(value, one)
        path += statuses(folded)
        assert folded.observed.status is path[-1]
        value = folded.observed

    assert all(to is now or to in INSTANCE_MOVES[now] for now, to in pairwise(path))
    assert len(value.transitions) <= TRANSITIONS_MAX


@given(st.lists(st.sampled_from(RECORDS), max_size=6), st.sampled_from(RECORDS))
def test_a_record_told_twice_is_told_once(before: list[Instance], record: Instance) -> None:
    value = Observed.wanted(NOON)
    for one in before:
        value = evolve(value, one).observed
    once = evolve(value, record).observed

    assert evolve(once, record).entered == ()
