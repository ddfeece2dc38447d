"""What probes say about an instance: every status, every outcome, at every count."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.evolution import Observed, fold
from schemas.specs import Probe
from schemas.statuses import INSTANCE_MOVES, InstanceStatus, Reason
from services.health.lateness import SCORE_MAX, Lateness
from services.health.verdict import BY_PROBES, Outcome, Probed, verdict
from tests.builders import NOON

S, O = InstanceStatus, Outcome  # noqa: E741
PROBE = Probe(fails=3, passes=2)
AGAINST = (O.FAILED, O.GONE, O.WRONG_IDENTITY)


def observed_as(status: InstanceStatus, reason: Reason) -> Observed:
    return Observed(status, reason, "", NOON)


def after(*outcomes: Outcome) -> Probed:
    probed = Probed()
    for outcome in outcomes:
        probed = probed.then(outcome, {"error": "refused"})
    return probed


def judged(status: InstanceStatus, reason: Reason, *outcomes: Outcome) -> tuple[str, str] | None:
    step = verdict(observed_as(status, reason), after(*outcomes), PROBE, NOON)
    return None if step is None else (step.status.value, step.reason.value)


@pytest.mark.parametrize("count", range(1, 6))
def test_as_many_failures_in_a_row_as_the_spec_says_take_it_out(count: int) -> None:
    expected = ("UNHEALTHY", "PROBES_FAILED") if count >= 3 else None

    assert judged(S.HEALTHY, Reason.READY, *[O.FAILED] * count) == expected


def test_one_pass_between_failures_begins_the_count_again() -> None:
    outcomes = [O.FAILED, O.FAILED, O.PASSED, O.FAILED, O.FAILED]

    assert judged(S.HEALTHY, Reason.READY, *outcomes) is None


def test_a_late_checker_neither_counts_nor_forgives() -> None:
    two = [O.FAILED, O.FAILED, *[O.NOTHING] * 10]

    assert judged(S.HEALTHY, Reason.READY, *two) is None
    assert judged(S.HEALTHY, Reason.READY, *two, O.FAILED) == ("UNHEALTHY", "PROBES_FAILED")


def test_a_wrong_identity_is_out_at_once() -> None:
    assert judged(S.HEALTHY, Reason.READY, O.WRONG_IDENTITY) == ("UNHEALTHY", "WRONG_IDENTITY")


def test_nobody_listening_after_a_broken_connection_is_out_at_once() -> None:
    assert judged(S.HEALTHY, Reason.READY, O.GONE) == ("UNHEALTHY", "PROBES_FAILED")


@pytest.mark.parametrize("reason", sorted(BY_PROBES))
@pytest.mark.parametrize("count", range(1, 4))
def test_what_probes_took_out_they_bring_back_after_enough_passes(
    reason: Reason, count: int
) -> None:
    expected = ("HEALTHY", "PROBES_PASSED") if count >= 2 else None

    assert judged(S.UNHEALTHY, reason, O.FAILED, *[O.PASSED] * count) == expected


@pytest.mark.parametrize("reason", sorted(set(Reason) - BY_PROBES))
def test_what_others_took_out_no_probe_brings_back(reason: Reason) -> None:
    assert judged(S.UNHEALTHY, reason, *[O.PASSED] * 10) is None


@pytest.mark.parametrize(
    ("status", "outcome"),
    list(product(sorted(set(S) - {S.HEALTHY, S.UNHEALTHY}), Outcome)),
)
def test_probes_say_nothing_about_what_starts_or_is_being_deleted(
    status: InstanceStatus, outcome: Outcome
) -> None:
    assert judged(status, Reason.WANTED, *[outcome] * 10) is None


def test_the_evidence_is_the_last_probes() -> None:
    step = verdict(observed_as(S.HEALTHY, Reason.READY), after(*[O.FAILED] * 3), PROBE, NOON)

    assert step is not None
    assert step.evidence == {"error": "refused", "failed_in_a_row": "3"}


@given(st.sampled_from(S), st.sampled_from(Reason), st.lists(st.sampled_from(Outcome), max_size=12))
def test_a_verdict_is_always_a_legal_move(
    status: InstanceStatus, reason: Reason, outcomes: list[Outcome]
) -> None:
    before = observed_as(status, reason)
    step = verdict(before, after(*outcomes), PROBE, NOON)
    if step is not None:
        assert step.status in INSTANCE_MOVES[status]
        assert fold(before, [step]).observed.status is step.status


@given(st.lists(st.sampled_from(Outcome), max_size=20))
def test_a_count_never_runs_both_ways(outcomes: list[Outcome]) -> None:
    probed = after(*outcomes)

    assert 0 in (probed.failed_in_a_row, probed.passed_in_a_row)
    assert probed.failed_in_a_row <= sum(outcome in AGAINST for outcome in outcomes)


def test_lateness_widens_timeouts_and_punctuality_narrows_them_again() -> None:
    lateness = Lateness(late_seconds_max=0.25)
    assert lateness.widened(1.0) == 1.0
    for _ in range(100):
        lateness = lateness.heard(0.3)
    assert (lateness.score, lateness.widened(1.0)) == (SCORE_MAX, 1.0 + SCORE_MAX)
    for _ in range(100):
        lateness = lateness.heard(0.2)
    assert lateness.widened(1.0) == 1.0


@pytest.mark.parametrize(("late", "is_late"), [(0.0, False), (0.25, False), (0.251, True)])
def test_a_little_late_is_not_late(late: float, is_late: bool) -> None:
    assert Lateness(late_seconds_max=0.25).is_late(late) is is_late
