"""The way of a call to an instance and back: attempts, deadline, resend rule, queue."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable

from schemas.http import TIMEOUT_MS_HEADER
from services.gateway.answers import Answer
from services.gateway.balancing import pick
from services.gateway.budget import ResendBudget
from services.gateway.calls import Call
from services.gateway.endpoints import Endpoint, RoutedNode
from services.gateway.measures import Measures
from services.gateway.tracing import begin_attempt, end_attempt, tracestate_of

ATTEMPTS_MAX = 8
FAILURES_MAX = 3  # Attempts when every instance has failed this call.
TICK_SECONDS = 0.025  # How exact deadlines are, and the ends of avoidance.
GRACE_SECONDS = 0.05  # For the agent's own, more telling 504 to arrive.
_TIMEOUT_MS = TIMEOUT_MS_HEADER.encode()
PASSED_BYTES_MAX = 512  # Of a header that goes on to the instance; a longer one stays behind.
_JSON = b"application/json"


class Forwarder:
    """Carries every call to exactly one answer."""

    def __init__(
        self, measures: Measures, *, now: Callable[[], float], roll: Callable[[], float]
    ) -> None:
        self._measures = measures
        self._now = now
        self._roll = roll
        self._budget = ResendBudget()
        self._active: set[Call] = set()
        self._is_ticking = False

    @property
    def active(self) -> int:
        return len(self._active)

    def active_by_node(self) -> Counter[str]:
        """Calls that were taken on and have not ended, those in queues included."""
        return Counter(call.node.place for call in self._active if call.node is not None)

    def begin(self, call: Call, node: RoutedNode, timeout_seconds: float) -> None:
        """Take a call on; it is answered within its deadline, whatever happens."""
        facts = node.facts
        call.deadline = call.started + min(facts.deadline_seconds, timeout_seconds)
        call.repeatable = facts.idempotent or b"idempotency-key" in call.headers
        self._active.add(call)
        self._budget.calls += 1
        if not self._is_ticking:
            self._is_ticking = True
            asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)
        if node.queue.waiting or not self._try_send(call, node, call.started):
            self._wait(call, node)

    def abandon(self, call: Call) -> None:
        """Its client has gone: the work is cancelled and the permit returned."""
        self._active.discard(call)
        self._detach(call)

    def changed(self, node: RoutedNode) -> None:
        """The node or its instances are not what they were."""
        if not node.endpoints:
            for call in node.queue.take_all():
                self._refuse_unserved(call, node)
        self._pump(node)

    # Choosing.

    def _dispatch(self, call: Call, node: RoutedNode) -> None:
        if not node.endpoints:
            self._refuse_unserved(call, node)
        elif node.queue.waiting or not self._try_send(call, node, self._now()):
            self._wait(call, node)

    def _try_send(self, call: Call, node: RoutedNode, now: float) -> bool:
        if now >= node.troubled_until and not call.tried:
            endpoint = pick(node.endpoints, self._roll)
        else:
            endpoint = pick(node.candidates(call.tried, now), self._roll)
        if endpoint is None:
            return False
        self._send(call, node, endpoint, now)
        return True

    def _wait(self, call: Call, node: RoutedNode) -> None:
        if not node.queue.enter(call):
            node.counts.refused["queue-full"] += 1
            self._refuse(
                call, "queue-full", f"{len(node.queue)} calls already wait for {node.place}."
            )

    def _pump(self, node: RoutedNode) -> None:
        """There may be room: whoever waits longest goes first."""
        queue = node.queue
        while (call := queue.first()) is not None:
            if not self._try_send(call, node, self._now()):
                return
            queue.leave(call)

    def _send(self, call: Call, node: RoutedNode, endpoint: Endpoint, now: float) -> None:
        endpoint.in_flight += 1
        call.endpoint = endpoint
        call.attempts += 1
        left_ms = int((call.deadline - now) * 1000) or 1
        head = b"%bX-Request-ID: %b\r\n%b: %d\r\nContent-Length: %d\r\n%b\r\n" % (
            node.request_line(endpoint),
            call.request_id,
            _TIMEOUT_MS,
            left_ms,
            len(call.body),
            _passed_headers(call, endpoint),
        )
        endpoint.pool.send(call, head)

    # What came of an attempt; called by the connections.

    def answered(self, call: Call, answer: Answer) -> None:
        endpoint, node = call.endpoint, call.node
        assert endpoint is not None, "the call was sent"
        assert node is not None, "it was sent to an instance of a node"
        call.endpoint = None
        endpoint.in_flight -= 1
        if call.attempt_step is not None:
            end_attempt(call, status=answer.status)
        if answer.not_executed:
            endpoint.refused(self._now())
            node.trouble(endpoint)
            self._again(call, endpoint, code="queue-full", detail="All that were asked are busy.")
        else:
            endpoint.served(answer.execution_us)
            self._active.discard(call)
            call.answer(answer.status, answer.headers, answer.body)
        if node.queue.waiting:
            self._pump(node)

    def streams(self, call: Call, answer: Answer) -> None:
        call.status = answer.status
        length = None if answer.chunked else answer.length
        call.client.write(call.head(answer.status, answer.headers, length))
        upstream = call.upstream
        endpoint, node = self._release(call)  # It was executed; how the client reads is its affair.
        call.upstream = upstream
        endpoint.served(answer.execution_us)
        self._pump(node)

    def streamed(self, call: Call, answer: Answer) -> None:
        self._active.discard(call)
        if answer.chunked and not call.http10:
            call.client.write(b"0\r\n\r\n")
        call.end()

    def too_large(self, call: Call) -> None:
        _, node = self._release(call)
        self._refuse(call, "response-too-large", "The answer of the cell is larger than 16 MiB.")
        self._pump(node)

    def cut(self, call: Call) -> None:
        """The answer broke off while the client was reading it."""
        self._measures.upstream_failures += 1
        self._active.discard(call)
        call.client.abort()

    def lost(self, call: Call, why: str, *, sent: bool, heard: bool) -> None:
        """The resend rule: only what no instance can have executed, or may execute twice."""
        end_attempt(call, error="instance_lost")
        endpoint, node = self._release(call)
        endpoint.failed(self._now())
        node.trouble(endpoint)
        self._measures.upstream_failures += 1
        if not sent:
            self._again(
                call, endpoint, code="no-healthy-instance", detail=f"{endpoint.instance}: {why}."
            )
        elif not heard and call.repeatable:
            self._again(call, endpoint, code="instance-lost", detail=f"{endpoint.instance}: {why}.")
        else:
            self._refuse(call, "instance-lost", f"{endpoint.instance}: {why}.")
        self._pump(node)

    def _again(self, call: Call, endpoint: Endpoint, *, code: str, detail: str) -> None:
        node = call.node
        assert node is not None, "it was sent to an instance of a node"
        call.tried = (*call.tried, endpoint)
        if self._is_hopeless(call, node, code) or not self._budget.spend():
            self._refuse(call, code, detail)
            return
        self._measures.resent += 1
        self._dispatch(call, node)

    def _is_hopeless(self, call: Call, node: RoutedNode, code: str) -> bool:
        """Failures of all there are need not be seen more often; refusals pass by waiting."""
        if code != "queue-full" and call.attempts >= FAILURES_MAX:
            return all(one in call.tried for one in node.endpoints)
        return call.attempts >= ATTEMPTS_MAX

    # Ending.

    def _refuse(self, call: Call, code: str, detail: str) -> None:
        self._active.discard(call)
        call.refuse(code, detail)

    def _refuse_unserved(self, call: Call, node: RoutedNode) -> None:
        code, detail = unserved(node)
        node.counts.refused[code] += 1
        self._refuse(call, code, detail)

    def _release(self, call: Call) -> tuple[Endpoint, RoutedNode]:
        endpoint, node = call.endpoint, call.node
        assert endpoint is not None, "the call was sent"
        assert node is not None, "it was sent to an instance of a node"
        call.endpoint = call.upstream = None
        endpoint.in_flight -= 1
        end_attempt(call, status=call.status)
        return endpoint, node

    def _detach(self, call: Call) -> None:
        """Take the call from wherever it is: the queue, a connection being made, an instance."""
        node = call.node
        if node is None:
            return
        upstream, endpoint = call.upstream, call.endpoint
        if endpoint is not None:
            self._release(call)
        if upstream is not None:
            upstream.drop(call)
        elif endpoint is not None:
            endpoint.pool.forget(call)
        else:
            node.queue.leave(call)
        self._pump(node)

    def _tick(self) -> None:
        self._is_ticking = bool(self._active)
        if not self._is_ticking:
            return
        asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)
        now = self._now()
        for call in [one for one in self._active if one.deadline + GRACE_SECONDS <= now]:
            self._expire(call, now)
        for node in {one.node for one in self._active if one.endpoint is None}:
            if node is not None:
                self._pump(node)

    def _expire(self, call: Call, now: float) -> None:
        if call.ended:
            return
        if call.endpoint is not None and call.upstream is not None:
            call.endpoint.failed(now)  # A live agent would have answered 504 itself.
            assert call.node is not None
            call.node.trouble(call.endpoint)
        self._active.discard(call)
        begun = call.status != 0
        self._detach(call)
        if begun:
            call.client.abort()
        else:
            call.refuse("deadline-exceeded", f"No answer in time, after {call.attempts} attempts.")


def unserved(node: RoutedNode) -> tuple[str, str]:
    """Why a node without an instance in balancing takes no call."""
    if node.facts.is_deleting:
        return "node-deleting", f"The node {node.place} is being deleted."
    if node.facts.is_suspended:
        return "node-suspended", f"The node {node.place} was suspended by its owner."
    return "no-healthy-instance", f"No instance of {node.place} is healthy now."


def _passed_headers(call: Call, endpoint: Endpoint) -> bytes:
    headers = call.headers
    kind = headers.get(b"content-type", _JSON)
    line = b"Content-Type: %b\r\n" % (kind if len(kind) <= PASSED_BYTES_MAX else _JSON)
    if not call.traceparent:
        return line
    line += begin_attempt(call, endpoint.instance)
    state = tracestate_of(call)
    return b"%btracestate: %b\r\n" % (line, state) if 0 < len(state) < PASSED_BYTES_MAX else line
