"""evolve: what is observed of an instance, folded from facts and from the word of its agent.

Pure. A repeat changes nothing; a move that the table forbids changes nothing and is handed back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from schemas.errors import IllegalMove
from schemas.events import InstanceStatusChanged
from schemas.instances import Exit, Instance, Refusal
from schemas.statuses import (
    INSTANCE_MOVES,
    SENTENCES,
    START_PATH,
    InstanceStatus,
    Reason,
    Transition,
    move,
    remember,
)

SENTENCE_CHARACTERS_MAX = 512
EVIDENCE_ITEMS_MAX = 16
EVIDENCE_CHARACTERS_MAX = 4096
EVIDENCE_NAME_CHARACTERS_MAX = 64
REMEMBERED_ITEMS_MAX = 8  # In the history, so that a whole event fits into a record of the bus.
REMEMBERED_CHARACTERS_MAX = 512  # Of one piece of evidence, in the history.

# Not a fault of the instance: it stays UNDEFINED until there is room, or its host is back.
_WAITS = frozenset({Reason.NO_CAPACITY, Reason.FOREIGN_HOST})


@dataclass(frozen=True)
class Step:
    """A change of status that somebody vouches for."""

    status: InstanceStatus
    reason: Reason
    at: datetime
    evidence: dict[str, str] = field(default_factory=dict)
    sentence: str = ""  # Empty: the reason's own.
    phase_seq: int = 0  # Of the agent's phase that says so; 0 if it is not the agent's word.


@dataclass(frozen=True)
class Observed:
    """What is known of one instance. Frozen: every change is a new value."""

    status: InstanceStatus
    reason: Reason
    sentence: str
    since: datetime  # When the status was entered.
    evidence: dict[str, str] = field(default_factory=dict)
    transitions: tuple[Transition, ...] = ()
    phase_seq: int = 0  # The agent's last phase that was folded in.

    @classmethod
    def wanted(cls, at: datetime) -> Observed:
        """The first status of every instance."""
        first = Transition(status=InstanceStatus.UNDEFINED.value, reason=Reason.WANTED, at=at)
        sentence = SENTENCES[Reason.WANTED]
        return cls(InstanceStatus.UNDEFINED, Reason.WANTED, sentence, at, transitions=(first,))

    @classmethod
    def published(cls, event: InstanceStatusChanged) -> Observed:
        """What an event that was published says."""
        return cls(
            event.status,
            event.reason,
            event.sentence,
            event.since,
            evidence=dict(event.evidence),
            transitions=event.transitions,
            phase_seq=event.phase_seq,
        )

    def to(
        self,
        status: InstanceStatus,
        reason: Reason,
        at: datetime,
        evidence: dict[str, str] | None = None,
        *,
        sentence: str = "",
    ) -> Observed:
        """Move. A repeated move changes nothing; an illegal one raises IllegalMove."""
        stays = move(INSTANCE_MOVES, self.status, status) is self.status
        known = _cut(evidence or {}, EVIDENCE_CHARACTERS_MAX)
        said = sentence or SENTENCES[reason]
        if stays and (reason, known, said) == (self.reason, self.evidence, self.sentence):
            return self
        now = replace(
            self,
            status=status,
            reason=reason,
            sentence=said,
            evidence=known,
            since=self.since if stays else at,
        )
        return now if stays and reason is self.reason else now._remembering(at)

    def _remembering(self, at: datetime) -> Observed:
        short = _cut(self.evidence, REMEMBERED_CHARACTERS_MAX, REMEMBERED_ITEMS_MAX)
        step = Transition(status=self.status.value, reason=self.reason, at=at, evidence=short)
        return replace(self, transitions=remember(self.transitions, step))


@dataclass(frozen=True)
class Folded:
    """What became of an instance under some steps."""

    observed: Observed
    entered: tuple[Observed, ...] = ()  # Every new value, in order: one event each.
    refused: tuple[IllegalMove, ...] = ()  # Counted by the caller; they changed nothing.

    def take(self, step: Step) -> Folded:
        """One step further; statuses that it skips are passed in order, at its time."""
        try:
            values = list(_values(self.observed, step))
        except IllegalMove as refusal:
            return replace(self, refused=(*self.refused, refusal))
        last = values[-1] if values else self.observed
        last = replace(last, phase_seq=max(last.phase_seq, step.phase_seq))
        entered = (*self.entered, *values[:-1], last) if values else self.entered
        return Folded(last, entered, self.refused)


def fold(observed: Observed, steps: Sequence[Step]) -> Folded:
    """All of the steps, in order."""
    folded = Folded(observed)
    for step in steps:
        folded = folded.take(step)
    return folded


def evolve(observed: Observed | None, fact: Instance) -> Folded:
    """Fold the provisioner's record in; it carries all facts so far, heard before or not."""
    if observed is not None:
        return fold(observed, list(_steps_of_fact(fact)))
    first = Observed.wanted(fact.wanted_at)
    rest = fold(first, list(_steps_of_fact(fact)))
    return replace(rest, entered=(first, *rest.entered))


class AgentPhase(BaseModel):
    """One entry of the history that an agent keeps of itself."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    seq: int = Field(ge=1)
    phase: str  # A newer agent may know more of them; those say nothing here.
    reason: str | None = None
    sentence: str = ""
    evidence: dict[str, Any] = {}
    at: AwareDatetime

    def dated_within(self, earliest: datetime, latest: datetime) -> AgentPhase:
        """The same where its clock may be believed, otherwise moved to the nearer end."""
        return self.model_copy(update={"at": min(max(self.at, earliest), latest)})


def evolve_phases(observed: Observed, history: Sequence[AgentPhase]) -> Folded:
    """Fold the phases that are new in, in the agent's order and with the agent's times."""
    if observed.status is InstanceStatus.DELETING or observed.reason is Reason.PROCESS_EXITED:
        return Folded(observed)
    new = sorted(
        (entry for entry in history if entry.seq > observed.phase_seq), key=lambda entry: entry.seq
    )
    folded = fold(observed, [step for entry in new for step in _steps_of_phase(entry)])
    latest = max((entry.seq for entry in new), default=observed.phase_seq)
    return replace(folded, observed=replace(folded.observed, phase_seq=latest))


def _values(observed: Observed, step: Step) -> Iterator[Observed]:
    """The values that the step leads through; none if it says nothing new."""
    if observed.status in START_PATH and step.status in START_PATH:
        behind, ahead = START_PATH.index(observed.status), START_PATH.index(step.status)
        if ahead < behind:
            return  # Told again.
        for status in START_PATH[behind + 1 : ahead]:
            observed = observed.to(status, _PASSED[status], step.at)
            yield observed
    elif observed.status is InstanceStatus.UNHEALTHY and step.status in START_PATH[:-1]:
        yield from _noted(observed, step)
        return
    elif observed.status is InstanceStatus.DELETING and step.status in START_PATH:
        return  # It was created or became ready on its way out.
    told = _with_way_here(observed, step)
    after = observed.to(step.status, step.reason, step.at, told, sentence=step.sentence)
    if after is not observed:
        yield after


def _noted(observed: Observed, step: Step) -> Iterator[Observed]:
    """An UNHEALTHY instance that starts after all: HEALTHY is next, so its way is evidence."""
    if step.at > observed.since and step.status.value not in observed.evidence:
        evidence = {**observed.evidence, step.status.value: step.at.isoformat()}
        yield replace(observed, evidence=_cut(evidence, EVIDENCE_CHARACTERS_MAX))


def _with_way_here(observed: Observed, step: Step) -> dict[str, str]:
    if observed.status is not InstanceStatus.UNHEALTHY or step.status is InstanceStatus.DELETING:
        return step.evidence
    names = [status.value for status in START_PATH[1:-1]]
    way = {name: observed.evidence[name] for name in names if name in observed.evidence}
    return {**step.evidence, **way}


def _steps_of_fact(fact: Instance) -> Iterator[Step]:
    if fact.created_at is not None:
        yield Step(InstanceStatus.CREATED, Reason.VM_CREATED, fact.created_at)
    if fact.kind == "InstanceRefused" and fact.refused is not None:
        yield _refusal(fact.refused)
    if fact.exited is not None and fact.deleting is None:
        ended = _exit_evidence(fact.exited)
        yield Step(InstanceStatus.UNHEALTHY, Reason.PROCESS_EXITED, fact.exited.at, ended)
    if fact.deleting is not None:
        yield Step(InstanceStatus.DELETING, fact.deleting.reason, fact.deleting.at)


def _refusal(refused: Refusal) -> Step:
    evidence = {"difference": "\n".join(refused.difference)} if refused.difference else {}
    status = InstanceStatus.UNDEFINED if refused.reason in _WAITS else InstanceStatus.UNHEALTHY
    return Step(status, refused.reason, refused.at, evidence)


def _exit_evidence(ended: Exit) -> dict[str, str]:
    said = {"exit_code": ended.code, "signal": ended.signal}
    evidence = {name: str(number) for name, number in said.items() if number is not None}
    if ended.last_lines:
        evidence["last_lines"] = "\n".join(ended.last_lines)
    return evidence


def _steps_of_phase(entry: AgentPhase) -> Iterator[Step]:
    """`draining` is no status: whoever asked for it says DELETING, or its probes fail."""
    if (known := _PHASES.get(entry.phase)) is None:
        return
    status, usual = known
    reason = Reason(entry.reason) if entry.reason in _REASONS else usual
    told, seq = readable(entry.sentence[:SENTENCE_CHARACTERS_MAX]), entry.seq
    evidence = {name: str(value) for name, value in entry.evidence.items()}
    yield Step(status, reason, entry.at, evidence, sentence=told, phase_seq=seq)


_PASSED = {
    InstanceStatus.CREATED: Reason.VM_CREATED,
    InstanceStatus.STARTED: Reason.CONTACT,
    InstanceStatus.PREPARING: Reason.LOADING,
}
_PHASES = {
    "started": (InstanceStatus.STARTED, Reason.CONTACT),
    "preparing": (InstanceStatus.PREPARING, Reason.LOADING),
    "ready": (InstanceStatus.HEALTHY, Reason.READY),
    "broken": (InstanceStatus.UNHEALTHY, Reason.INTERPRETER_CRASHED),
    "failed": (InstanceStatus.UNHEALTHY, Reason.LOAD_FAILED),
}
_REASONS = frozenset(reason.value for reason in Reason)


def _cut(
    evidence: dict[str, str], characters_max: int, items_max: int = EVIDENCE_ITEMS_MAX
) -> dict[str, str]:
    """Bounded; of a long text the end is kept, where tracebacks and logs say what happened."""
    kept = list(evidence.items())[:items_max]
    return {
        readable(name[:EVIDENCE_NAME_CHARACTERS_MAX]): readable(
            text if len(text) <= characters_max else f"…{text[1 - characters_max :]}"
        )
        for name, text in kept
    }


def readable(text: str) -> str:
    """Strangers say anything: UTF-8 has no surrogates, JSON makes six bytes of a NUL."""
    return text.encode(errors="replace").decode().translate(_CONTROLS)


_CONTROLS = {code: "\ufffd" for code in range(32) if chr(code) not in "\t\n\r"}
