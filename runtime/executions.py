"""The line before the interpreter: what runs, what waits, what is refused, and until when."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from runtime.exchange import CELL_ERROR, EXECUTION_US, JSON_TYPE, PROBLEM, Exchange
from runtime.instance import Instance
from runtime.interpreter.frames import Request, Response
from runtime.metrics import Metrics
from runtime.phases import Phases
from runtime.spans import Spans

# After its deadline the exception in the cell has this long to end it; then the fork is killed.
KILL_AFTER_SECONDS = 1.0
# A loader that cannot kill its fork by then, stopped perhaps, is ended with it.
END_AFTER_SECONDS = 2.0
SWEEP_SECONDS = 0.05
# Cells that take microseconds are sent ahead, so that the interpreter never waits for the agent.
AHEAD_MAX = 8
AHEAD_EXECUTION_US_MAX = 1000.0
AHEAD_BODY_BYTES_MAX = 64 * 1024
SMOOTHING = 0.2
CLIENT_GONE = 499  # For its span: there was nobody to answer.


class Fork(Protocol):
    """The serving fork, as this line sees it."""

    def send(self, request: Request) -> None: ...

    def kill(self) -> None: ...

    def give_up(self) -> None: ...


class Executions:
    """First in, first out. What is behind the first one sent is not started before it answers."""

    def __init__(
        self,
        instance: Instance,
        phases: Phases,
        metrics: Metrics,
        fork: Fork,
        *,
        spans: Spans | None = None,
    ) -> None:
        self.instance = instance
        self.phases = phases
        self.metrics = metrics
        self.fork = fork
        self.spans = spans
        self.loop = asyncio.get_running_loop()
        self.waiting: deque[Exchange] = deque()
        self.sent: deque[Exchange] = deque()
        self.execution_us = AHEAD_EXECUTION_US_MAX  # Smoothed; at first nothing is sent ahead.
        self.is_draining = False
        self.is_killing = False
        self.is_sweeping = False
        self.idle = asyncio.Event()
        self.idle.set()

    @property
    def trace_id(self) -> str:
        """Of what runs now; empty if nothing does."""
        return self.sent[0].trace_id if self.sent else ""

    @property
    def waiting_count(self) -> int:
        return len(self.waiting) + max(0, len(self.sent) - 1)

    def submit(self, exchange: Exchange) -> None:
        """Run it in its turn, or refuse it with the proof that it was not executed."""
        if exchange.traceparent and self.spans is not None:
            exchange.span = self.spans.begin(exchange.traceparent)
        if exchange.instance and exchange.instance != self.instance.id.encode():
            detail = f"this is instance {self.instance.id}"
            self._refuse(exchange, "wrong-instance", detail)
        elif self.is_draining:
            self._refuse(exchange, "draining", "the instance is being removed")
        elif not self.phases.is_ready:
            self._refuse(exchange, "not-ready", f"the instance is {self.phases.phase}")
        elif self.sent and self.waiting_count >= self.instance.waiting_max:
            self._refuse(exchange, "busy", f"{self.waiting_count} requests are waiting")
        else:
            self._accept(exchange)

    def _accept(self, exchange: Exchange) -> None:
        seconds = self.instance.deadline_seconds
        if exchange.timeout_ms >= 0:
            seconds = min(seconds, exchange.timeout_ms / 1000)
        exchange.ends_at = self.loop.time() + seconds
        self.waiting.append(exchange)
        self.idle.clear()
        self.pump()
        if not self.is_sweeping:
            self.is_sweeping = True
            self.loop.call_later(SWEEP_SECONDS, self._sweep)

    def _refuse(self, exchange: Exchange, code: str, detail: str) -> None:
        self.metrics.refused[code] += 1
        exchange.refuse(code, detail)

    def pump(self) -> None:
        """Send what may be sent now."""
        if not self.phases.is_ready and not self.is_draining:
            return
        waiting, sent = self.waiting, self.sent
        while waiting and (not sent or self._may_send_ahead(waiting[0])):
            exchange = waiting.popleft()
            if exchange.is_cancelled:
                self.metrics.dropped += 1
            elif (left := exchange.ends_at - self.loop.time()) <= 0:
                self._expire(exchange)
            else:
                sent.append(exchange)
                self.fork.send(self._request(exchange, left))
        if not waiting and not sent:
            self.idle.set()

    def _may_send_ahead(self, exchange: Exchange) -> bool:
        return (
            len(self.sent) < AHEAD_MAX
            and self.execution_us < AHEAD_EXECUTION_US_MAX
            and len(exchange.body) <= AHEAD_BODY_BYTES_MAX
        )

    def _request(self, exchange: Exchange, left_seconds: float) -> Request:
        full = exchange.errors != b"brief"
        left_ms, trace = int(left_seconds * 1000), exchange.traceparent.decode()
        return Request(exchange.body, left_ms, full, exchange.request_id, trace)

    def _expire(self, exchange: Exchange) -> None:
        self.metrics.refused["deadline-exceeded"] += 1
        exchange.refuse("deadline-exceeded", "the deadline passed before the cell was started")

    def on_response(self, response: Response) -> None:
        """The fork has answered the first one sent."""
        if not self.sent:
            self.fork.kill()  # Nobody asked: the cell wrote to its own channel.
            return
        exchange = self.sent.popleft()
        self.execution_us += SMOOTHING * (response.execution_us - self.execution_us)
        self.metrics.executed(response.status, response.execution_us)
        if exchange.span is not None:
            exchange.span.execution_us = response.execution_us
        if exchange.is_cancelled:
            exchange.end_span(CLIENT_GONE)
        else:
            head = JSON_TYPE if response.status == 200 else PROBLEM
            if response.is_cell_error:
                head += CELL_ERROR
            timing = b"%b%d\r\n" % (EXECUTION_US, response.execution_us)
            exchange.respond(response.status, response.body, head + timing)
        self.pump()

    def on_fork_lost(self, how: str) -> bool:
        """The fork has ended: its first request is lost, the others wait again.

        True when it was we who killed it for its deadline.
        """
        was_killed, self.is_killing = self.is_killing, False
        if self.sent:
            self._lose(self.sent.popleft(), how, was_killed)
        self.waiting.extendleft(reversed(self.sent))
        self.sent.clear()
        self.execution_us = AHEAD_EXECUTION_US_MAX
        if not self.waiting:
            self.idle.set()
        return was_killed

    def _lose(self, exchange: Exchange, how: str, was_killed: bool) -> None:
        code = "deadline-exceeded" if was_killed else "interpreter-lost"
        self.metrics.executed(504 if was_killed else 500, 0)
        detail = (
            "the cell ran past its deadline and its interpreter was killed"
            if was_killed
            else f"the interpreter ended while it ran this request: {how}"
        )
        if not exchange.is_cancelled:
            exchange.refuse(code, detail, is_executed=True)

    def refuse_waiting(self, code: str, detail: str) -> None:
        for exchange in self.waiting:
            if not exchange.is_cancelled:
                self._refuse(exchange, code, detail)
        self.waiting.clear()
        if not self.sent:
            self.idle.set()

    def _sweep(self) -> None:
        """Answer what has waited too long, drop what nobody waits for, kill what overstays."""
        now = self.loop.time()
        if any(each.is_cancelled or each.ends_at <= now for each in self.waiting):
            self._sweep_waiting(now)
        overstay = now - self.sent[0].ends_at if self.sent else 0.0
        if overstay >= END_AFTER_SECONDS:
            self.fork.give_up()
        elif overstay >= KILL_AFTER_SECONDS and not self.is_killing:
            self.is_killing = True
            self.fork.kill()
        self.is_sweeping = bool(self.waiting or self.sent)
        if self.is_sweeping:
            self.loop.call_later(SWEEP_SECONDS, self._sweep)

    def _sweep_waiting(self, now: float) -> None:
        kept: deque[Exchange] = deque()
        for exchange in self.waiting:
            if exchange.is_cancelled:
                self.metrics.dropped += 1
            elif exchange.ends_at <= now:
                self._expire(exchange)
            else:
                kept.append(exchange)
        self.waiting = kept
        if not kept and not self.sent:
            self.idle.set()
