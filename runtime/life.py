"""The life of an agent, from listening to the end of its drain."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import Any, cast

import uvloop

from runtime.connection import Connection
from runtime.executions import Executions
from runtime.instance import Instance
from runtime.interpreter.frames import Response
from runtime.interpreters import Interpreter
from runtime.logs import Log
from runtime.metrics import Metrics
from runtime.phases import BROKEN, DRAINING, FAILED, PREPARING, READY, STARTED, Phases
from runtime.routes import AgentRoutes
from runtime.spans import spans_of
from runtime.spawning import Spawned

ENFORCE_SECONDS = 1.0
FAREWELL_SECONDS_MAX = 0.5  # For the last answers to leave.
CONNECTIONS_MAX = 512
# A fork that dies at once, again and again, is made anew ever more slowly.
FORK_DELAY_SECONDS_FIRST = 0.05
FORK_DELAY_SECONDS_MAX = 5.0
SETTLED_SECONDS = 10.0


def live(instance: Instance, log: Log, spawned: Spawned) -> int:
    return uvloop.run(Agent(instance, log, spawned).run())


class Agent:
    """Turns what becomes of the interpreter into phases, and keeps the line of requests moving."""

    def __init__(self, instance: Instance, log: Log, spawned: Spawned) -> None:
        self.instance = instance
        self.log = log
        self.phases = Phases()
        self.metrics = Metrics()
        self.interpreter = Interpreter(instance, log, spawned)
        self.deaths = 0  # In a row, without a settled time between them.
        self.forked_at: float | None = None  # None: there was no fork since the last death.
        self.is_loaded = False

    async def run(self) -> int:
        self.loop = asyncio.get_running_loop()
        self.end: asyncio.Future[float] = self.loop.create_future()
        self.spans = spans_of(self.instance.id, os.environ)
        self.executions = Executions(
            self.instance, self.phases, self.metrics, self, spans=self.spans
        )
        self.routes = AgentRoutes(
            self.instance, self.phases, self.metrics, self.executions, log=self.log
        )
        self.loop.add_signal_handler(signal.SIGTERM, self._end, self.instance.drain_seconds_min)
        self.loop.add_signal_handler(signal.SIGINT, self._end, 0.0)
        server = await self._listen()
        self._enter(STARTED, "The agent listens; the checkpoint is untouched.", reason="CONTACT")
        self.interpreter.listen(self)
        self._enforce()
        await self._drain(await self.end)
        server.close()
        await self._stop()
        if self.spans is not None:
            self.spans.finish()
        return 0

    async def _listen(self) -> asyncio.Server:
        path = self.instance.socket
        _remove(path)
        server = await self.loop.create_unix_server(self._connection, path, backlog=CONNECTIONS_MAX)
        os.chmod(path, 0o600)
        return server

    def _connection(self) -> asyncio.BaseProtocol:
        if len(self.routes.connections) >= CONNECTIONS_MAX:
            return _Turned()
        return Connection(self.routes, self.loop)

    def _enforce(self) -> None:
        now = self.loop.time()
        for connection in list(self.routes.connections):
            connection.enforce(now)
        if not os.path.exists(self.instance.socket):
            # Nobody can reach or find this instance any more: its directory was removed.
            self._end(0.0)
        self.loop.call_later(ENFORCE_SECONDS, self._enforce)

    # Draining.

    def _end(self, seconds_min: float) -> None:
        if not self.end.done():
            self.end.set_result(seconds_min)

    async def _drain(self, seconds_min: float) -> None:
        """Refuse what is new, with proof; finish what is here; stay for a while to say so."""
        began = self.loop.time()
        self.executions.is_draining = True
        self.phases.enter(DRAINING, "The instance finishes its requests and takes no new ones.")
        try:
            await asyncio.wait_for(self.executions.idle.wait(), self.instance.drain_seconds_max)
        except asyncio.TimeoutError:
            self.executions.refuse_waiting("draining", "the time to drain is over")
            self.executions.on_fork_lost("the time to drain is over")
        left = seconds_min - (self.loop.time() - began)
        if left > 0:
            await asyncio.wait([self.loop.create_future()], timeout=left)

    async def _stop(self) -> None:
        self.interpreter.stop()
        for connection in list(self.routes.connections):
            connection.transport.close()
        ends_at = self.loop.time() + FAREWELL_SECONDS_MAX
        while self.routes.connections and self.loop.time() < ends_at:
            await asyncio.wait([self.loop.create_future()], timeout=0.01)
        _remove(self.instance.socket)

    # What the line of requests asks of the fork.

    def send(self, request: Any) -> None:
        self.interpreter.send(request)

    def kill(self) -> None:
        self.interpreter.kill()

    def give_up(self) -> None:
        self.interpreter.give_up()

    # What becomes of the interpreter.

    def on_preparing(self) -> None:
        self._enter(PREPARING, "The instance loads its checkpoint.", reason="LOADING")

    def on_loaded(self) -> None:
        self.is_loaded = True
        self.interpreter.fork()

    def on_load_failed(self, failure: dict[str, Any]) -> None:
        self.log.say(f"{failure['reason']}: {failure['sentence']}")
        evidence = {**failure["evidence"]}
        self._enter(FAILED, failure["sentence"], reason=failure["reason"], **evidence)

    def on_forked(self) -> None:
        self.forked_at = self.loop.time()
        self.metrics.forks += 1
        if self.metrics.forks == 1:
            self._enter(READY, "The instance is ready and takes requests.", reason="READY")
        else:
            sentence = "A new interpreter was forked from the checkpoint; changed state is lost."
            self._enter(READY, sentence, reason="STATE_LOST")
        self.executions.pump()

    def on_response(self, response: Response) -> None:
        self.executions.on_response(response)

    def on_fork_ended(self, code: int) -> None:
        self._broken(code)
        self.loop.call_later(self._delay(), self._fork_again)

    def _fork_again(self) -> None:
        if self.is_loaded:
            self.interpreter.fork()

    def on_loader_ended(self, code: int) -> None:
        if self.phases.phase == FAILED:
            return
        was_loaded, self.is_loaded = self.is_loaded, False
        if was_loaded:
            self._broken(code)
            self.loop.call_later(self._delay(), self._load_again)
        else:
            self.executions.on_fork_lost(described(code))
            sentence = f"The interpreter ended while it loaded the checkpoint: {described(code)}."
            self._enter(FAILED, sentence, reason="LOAD_FAILED", **self._evidence(code))

    def _load_again(self) -> None:
        try:
            self.interpreter = Interpreter(self.instance, self.log)
        except OSError as error:
            self._enter(FAILED, f"Cannot start the interpreter: {error}", reason="LOAD_FAILED")
            return
        self.interpreter.listen(self)

    def _broken(self, code: int) -> None:
        how = described(code)
        trace_id = self.executions.trace_id
        was_killed = self.executions.on_fork_lost(how)
        during = f" trace_id={trace_id}" if trace_id else ""
        self.log.say(f"the interpreter ended: {how}{during}")
        if was_killed:
            sentence = "A request ran past its deadline and its interpreter was killed."
            reason = "DEADLINE_KILLED"
        else:
            sentence, reason = f"The interpreter ended: {how}.", "INTERPRETER_CRASHED"
        self._enter(BROKEN, sentence, reason=reason, **self._evidence(code))

    def _evidence(self, code: int) -> dict[str, str]:
        return {"exit_code": str(code), "ended_by": described(code), "log": self.log.tail()}

    def _delay(self) -> float:
        forked_at, self.forked_at = self.forked_at, None
        settled = forked_at is not None and self.loop.time() - forked_at >= SETTLED_SECONDS
        self.deaths = 1 if settled else self.deaths + 1
        if self.deaths == 1:
            return 0.0
        delay: float = FORK_DELAY_SECONDS_FIRST * 2 ** min(self.deaths - 2, 10)
        return min(delay, FORK_DELAY_SECONDS_MAX)

    def _enter(self, phase: str, sentence: str, *, reason: str, **evidence: str) -> None:
        if phase == FAILED:
            self.executions.refuse_waiting("not-ready", sentence)
        if self.executions.is_draining:
            return  # Draining is the last phase; only the line of requests still moves.
        self.phases.enter(phase, sentence, reason=reason, **evidence)


class _Turned(asyncio.Protocol):
    """A connection beyond the limit: closed at once, before a byte is read."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).close()


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def described(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"signal {signal.Signals(-code).name}"
    except ValueError:
        return f"signal {-code}"
