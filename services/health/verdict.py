"""verdict: what probes say about an instance, by counting them. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum

from schemas.evolution import Observed, Step
from schemas.specs import Probe
from schemas.statuses import InstanceStatus, Reason

# Only what probes took out of balancing may probes bring back.
BY_PROBES = frozenset({Reason.PROBES_FAILED, Reason.WRONG_IDENTITY})


class Outcome(str, Enum):
    """What one probe found."""

    PASSED = "PASSED"
    FAILED = "FAILED"  # No answer in time, a wrong answer, or not ready.
    GONE = "GONE"  # The connection broke and nobody listens any more.
    WRONG_IDENTITY = "WRONG_IDENTITY"  # Another instance answered.
    NOTHING = "NOTHING"  # The checker was itself late.


@dataclass(frozen=True)
class Probed:
    """One probe, and the probes before it."""

    outcome: Outcome = Outcome.NOTHING
    evidence: dict[str, str] = field(default_factory=dict)
    failed_in_a_row: int = 0
    passed_in_a_row: int = 0

    def then(self, outcome: Outcome, evidence: dict[str, str] | None = None) -> Probed:
        """The count after one more probe; a probe that says nothing leaves it as it was."""
        if outcome is Outcome.NOTHING:
            return replace(self, outcome=outcome)
        if outcome is Outcome.PASSED:
            return Probed(outcome, passed_in_a_row=self.passed_in_a_row + 1)
        return Probed(outcome, evidence or {}, failed_in_a_row=self.failed_in_a_row + 1)


def verdict(observed: Observed, probed: Probed, probe: Probe, at: datetime) -> Step | None:
    """The change that the last probe brings about, if any."""
    if observed.status is InstanceStatus.HEALTHY:
        return _against(probed, probe, at)
    if observed.status is InstanceStatus.UNHEALTHY and observed.reason in BY_PROBES:
        is_back = probed.outcome is Outcome.PASSED and probed.passed_in_a_row >= probe.passes
        told = {"passed_in_a_row": str(probed.passed_in_a_row)}
        return Step(InstanceStatus.HEALTHY, Reason.PROBES_PASSED, at, told) if is_back else None
    return None  # On its way, or in trouble that its agent or the provisioner told: so is the end.


def _against(probed: Probed, probe: Probe, at: datetime) -> Step | None:
    match probed.outcome:
        case Outcome.WRONG_IDENTITY:
            reason = Reason.WRONG_IDENTITY
        case Outcome.GONE:
            reason = Reason.PROBES_FAILED
        case Outcome.FAILED if probed.failed_in_a_row >= probe.fails:
            reason = Reason.PROBES_FAILED
        case _:
            return None
    told = {**probed.evidence, "failed_in_a_row": str(probed.failed_in_a_row)}
    return Step(InstanceStatus.UNHEALTHY, reason, at, told)
