"""Contact with one instance: its phases are followed until it is ready, then it is probed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.evolution import AgentPhase, Observed, Step
from schemas.instances import Instance
from schemas.specs import NodeSpec
from schemas.statuses import InstanceStatus, Reason
from services.chassis.clock import Clock
from services.chassis.telemetry import logger, uncaused
from services.health.connection import (
    AgentConnection,
    Answer,
    NoAnswer,
    NotListening,
    OurFault,
    TooLate,
    connect,
)
from services.health.lateness import Lateness
from services.health.verdict import BY_PROBES, Outcome, Probed, verdict

POLL_SECONDS = 10.0  # One long poll of a phase.
POLL_MARGIN_SECONDS = 2.0
RETRY_SECONDS_MIN, RETRY_SECONDS_MAX = 0.005, 0.25
EAGER_SECONDS = 1.0  # A fast start is heard of at once; after that, tries become rarer.
RETRY_SHARE = 0.05  # Of the time waited so far.
RETRIES_PER_SECOND_MAX = 2000  # Of all contacts together.
FAST_PROBE_SECONDS = 0.2  # After a HEALTHY instance's connection broke.
EXIT_FACT_SECONDS = 0.1  # The provisioner's word about an exit says more than a refused connection.

log = logger("health.contact")

_STARTING = frozenset({InstanceStatus.CREATED, InstanceStatus.STARTED, InstanceStatus.PREPARING})


class PhaseReport(BaseModel):
    """What an agent tells of itself."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    instance: str
    seq: int = Field(ge=0)
    phase: str
    history: tuple[AgentPhase, ...] = ()


class Desk(Protocol):
    """Who knows what is observed, and publishes what is new."""

    def observed(self, instance: str) -> Observed | None: ...

    def spec(self, fact: Instance) -> NodeSpec | None: ...

    def take(self, fact: Instance, step: Step) -> None: ...

    def take_phases(self, fact: Instance, history: Sequence[AgentPhase]) -> None: ...


@dataclass
class Checker:
    """What all contacts of a process share: the clock, its lateness, and places to connect."""

    clock: Clock
    lateness: Lateness
    connecting: asyncio.Semaphore
    probed: Callable[[Outcome, float, float], None]  # What it found, how late, how long it took.
    pausing: int = 0  # Contacts that wait to try again.


class Contact:
    """Runs until cancelled: when the instance exits, is being deleted, or is no longer ours."""

    def __init__(self, fact: Instance, desk: Desk, checker: Checker) -> None:
        self._fact = fact
        self._desk = desk
        self._checker = checker
        self._clock = checker.clock
        self._connection: AgentConnection | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._lost_at: float | None = None
        self._failing_since: float | None = None
        self._probe_at: float | None = None
        self._probed = Probed()
        self._has_complained = False

    @property
    def endpoint(self) -> str | None:
        return self._fact.endpoint

    async def run(self) -> None:
        try:
            while (observed := self._observed()) and (spec := self._desk.spec(self._fact)):
                if _is_followed(observed):
                    await self._follow(observed, spec)
                else:
                    await self._probe_of_itself(spec)
        finally:
            self._close()

    async def _probe_of_itself(self, spec: NodeSpec) -> None:
        """What is found from now on was not caused by who made the instance."""
        with uncaused():
            await self._probe(spec)

    def _observed(self) -> Observed | None:
        return self._desk.observed(self._fact.instance)

    async def _follow(self, observed: Observed, spec: NodeSpec) -> None:
        """One long poll of the phase, from what is known on."""
        self._probe_at, self._probed = None, Probed()
        left = self._start_seconds_left(observed, spec)
        if left is not None and left <= 0:
            allowed = f"{spec.start_timeout_seconds:g}"
            self._take(Reason.START_TIMEOUT, {"start_timeout_seconds": allowed})
            return
        wait = min(POLL_SECONDS, left) if left is not None else POLL_SECONDS
        timeout = (
            wait + POLL_MARGIN_SECONDS if left is None else min(left, wait + POLL_MARGIN_SECONDS)
        )
        path = f"/phase?after={observed.phase_seq}&wait_ms={int(wait * 1000)}"
        asked = self._clock.monotonic()
        try:
            answer = await self._ask(path, timeout)
        except NoAnswer:
            await self._pause()
            return
        self._lost_at = None
        if self._is_other(answer):
            self._take(Reason.WRONG_IDENTITY, self._identities(answer))
        elif self._heard(answer):
            self._failing_since = None
        elif self._clock.monotonic() - asked < wait / 2:
            await self._pause()  # It should have waited for something new.

    def _start_seconds_left(self, observed: Observed, spec: NodeSpec) -> float | None:
        """Until START_TIMEOUT; None where it does not apply."""
        if observed.status not in _STARTING:
            return None
        began = self._fact.created_at or self._fact.wanted_at
        due = began + timedelta(seconds=spec.start_timeout_seconds)
        return (due - self._clock.now()).total_seconds()

    async def _probe(self, spec: NodeSpec) -> None:
        """Wait for the next probe's time, or for a broken connection; probe; say what follows."""
        interval = spec.probe.interval_seconds
        if self._probe_at is None:  # Spread, so that not all are asked at once.
            self._probe_at = self._clock.monotonic() + interval * self._clock.random()
        is_fast = await self._until(self._probe_at)
        now = self._clock.monotonic()
        late = now - (self._lost_at or self._probe_at if is_fast else self._probe_at)
        if is_fast:
            outcome, evidence = await self._fast_probe()
            self._probe_at = now + interval
        else:
            outcome, evidence = await self._plain_probe(spec, late)
            self._probe_at = max(self._probe_at + interval, now)
        self._checker.probed(outcome, max(0.0, late), self._clock.monotonic() - now)
        self._probed = self._probed.then(outcome, evidence)
        observed = self._observed()
        step = observed and verdict(observed, self._probed, spec.probe, self._clock.now())
        if step:
            self._probed = Probed()
            self._desk.take(self._fact, step)

    async def _plain_probe(self, spec: NodeSpec, late: float) -> tuple[Outcome, dict[str, str]]:
        timeout = self._checker.lateness.widened(spec.probe.timeout_seconds)
        began = self._clock.monotonic()
        try:
            return await self._readiness(timeout)
        except NoAnswer as error:
            late = max(late, self._clock.monotonic() - began - timeout)
            return self._blamed(error, late)

    async def _fast_probe(self) -> tuple[Outcome, dict[str, str]]:
        """At once after the connection broke: if nobody listens any more, that is enough."""
        lost_at, self._lost_at = self._lost_at or 0.0, None
        try:
            return await self._readiness(FAST_PROBE_SECONDS)
        except NotListening as error:
            await self._clock.sleep(max(0.0, lost_at + EXIT_FACT_SECONDS - self._clock.monotonic()))
            return Outcome.GONE, {"error": str(error)}
        except NoAnswer as error:
            late = self._clock.monotonic() - lost_at - FAST_PROBE_SECONDS
            return self._blamed(error, late)

    def _blamed(self, error: NoAnswer, late: float) -> tuple[Outcome, dict[str, str]]:
        """Whose fault it is that there was no answer; ours says nothing about the agent."""
        is_late = isinstance(error, TooLate) and self._checker.lateness.is_late(late)
        is_ours = is_late or isinstance(error, OurFault)
        return Outcome.NOTHING if is_ours else Outcome.FAILED, {"error": str(error)}

    async def _readiness(self, timeout_seconds: float) -> tuple[Outcome, dict[str, str]]:
        answer = await self._ask("/readyz", timeout_seconds)
        if self._is_other(answer):
            return Outcome.WRONG_IDENTITY, self._identities(answer)
        self._heard(answer)
        if answer.status == 200:
            return Outcome.PASSED, {}
        return Outcome.FAILED, {"http_status": str(answer.status)}

    def _heard(self, answer: Answer) -> bool:
        """Fold what is new in the agent's history in; whether there was something."""
        observed = self._observed()
        try:
            told = json.loads(answer.body)
            if observed is None or told["seq"] <= observed.phase_seq:
                return False
            report = PhaseReport.model_validate(told)
        except (ValidationError, ValueError, TypeError, KeyError, RecursionError) as error:
            self._not_understood(error)
            return False
        self._desk.take_phases(self._fact, report.history)
        return True

    def _not_understood(self, error: Exception) -> None:
        if not self._has_complained:
            log.warning("phase not understood", instance=self._fact.instance, error=repr(error))
        self._has_complained = True

    def _is_other(self, answer: Answer) -> bool:
        return answer.instance != self._fact.instance

    def _identities(self, answer: Answer) -> dict[str, str]:
        self._close()
        return {"expected": self._fact.instance, "answered": answer.instance or "no name"}

    def _take(self, reason: Reason, evidence: dict[str, str]) -> None:
        now: datetime = self._clock.now()
        self._desk.take(self._fact, Step(InstanceStatus.UNHEALTHY, reason, now, evidence))

    async def _ask(self, path: str, timeout_seconds: float) -> Answer:
        began = self._clock.monotonic()
        if self._connection is None or not self._connection.is_open:
            async with self._checker.connecting:
                endpoint = self._fact.endpoint or ""
                self._connection = await connect(endpoint, self._lost, timeout_seconds)
        left = timeout_seconds - (self._clock.monotonic() - began)
        return await self._connection.get(path, max(left, 0.001))

    def _lost(self) -> None:
        self._lost_at = self._clock.monotonic()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _until(self, at: float) -> bool:
        """Wait for that time; True if the connection broke before."""
        loop = asyncio.get_running_loop()
        delay = at - self._clock.monotonic()
        if self._lost_at is None and delay > 0:
            waiter = self._waiter = loop.create_future()
            timer = loop.call_later(delay, _finish, waiter)
            try:
                await waiter
            finally:
                timer.cancel()
                self._waiter = None
        return self._lost_at is not None

    async def _pause(self) -> None:
        """Before the next try: short at first, longer with time and with how many others wait."""
        now = self._clock.monotonic()
        self._failing_since = now if self._failing_since is None else self._failing_since
        grown = (now - self._failing_since - EAGER_SECONDS) * RETRY_SHARE
        alone = min(max(grown, RETRY_SECONDS_MIN), RETRY_SECONDS_MAX)
        self._checker.pausing += 1
        try:
            crowd = self._checker.pausing / RETRIES_PER_SECOND_MAX
            await self._clock.sleep(self._clock.jittered(max(alone, crowd)))
        finally:
            self._checker.pausing -= 1

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def _is_followed(observed: Observed) -> bool:
    """On its way, or in trouble whose end its agent will tell."""
    if observed.status is InstanceStatus.HEALTHY:
        return False
    return observed.reason not in BY_PROBES


def _finish(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
