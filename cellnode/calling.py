"""Calls of one node: values out, values in, and patience just after a change."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from cellnode.errors import AnswerNotUnderstood, CellnodeError
from cellnode.http_asking import Answer, Ask
from cellnode.origin import Origin, path_of
from cellnode.signature import Signature
from cellnode.values import BytesFound, encoded

SECONDS_MIN, SECONDS_MAX = 0.001, 100_000.0
CALL_SECONDS_MAX = 3660.0  # A node's own deadline is an hour at most.
GRACE_SECONDS = 2.0  # The gateway tells of a deadline that has passed; it needs a moment for it.
# The gateway hears of a change a moment after its event.
ROUTED_SECONDS_MAX, ROUTED_PAUSE_SECONDS = 2.0, 0.05
NOT_ROUTED = {"node-unknown", "no-healthy-instance", "node-suspended"}
INSTANCES_KNOWN_MAX = 1000
DOCUMENT_SECONDS_MAX = 3.0
ASK_AGAIN_SECONDS = 30.0  # After the node's document could not be had.
INSTANCE = "cellnode-instance"


class Caller:
    """Calls one node."""

    def __init__(self, origin: Origin, node: str) -> None:
        self._origin = origin
        self._path = path_of("nodes", node, verb=":execute")
        self._document_path = path_of("nodes", node, "openapi.json")
        self._soon_until = 0.0
        # By instance: a new revision has new instances, and perhaps another signature.
        self._signatures: dict[str, Signature] = {}
        self._no_document_until = 0.0

    def expect_soon(self) -> None:
        """The node has just become ready: for a moment the gateway may not know it."""
        self._soon_until = time.monotonic() + ROUTED_SECONDS_MAX

    def call(
        self, values: Mapping[str, Any], timeout_seconds: float | None, key: str | None
    ) -> dict[str, Any]:
        """Outputs by name; problems are raised."""
        try:
            content = encoded(values)
        except BytesFound:
            self._keep("", self._origin.http.ask(self._document()))
            content = self._with_base64(values)
        ask = self._ask(content, timeout_seconds, key)
        answer = self._origin.http.ask(ask)
        while self._is_too_soon(answer):
            time.sleep(ROUTED_PAUSE_SECONDS)
            answer = self._origin.http.ask(ask)
        outputs = outputs_of(answer)
        instance = answer.headers.get(INSTANCE, "")
        if self._is_new(instance):
            self._learn(instance)
        return self._read(instance, outputs)

    async def call_async(
        self, values: Mapping[str, Any], timeout_seconds: float | None, key: str | None
    ) -> dict[str, Any]:
        """The same for coroutines."""
        http = self._origin.http_async
        try:
            content = encoded(values)
        except BytesFound:
            self._keep("", await http.ask(self._document()))
            content = self._with_base64(values)
        ask = self._ask(content, timeout_seconds, key)
        answer = await http.ask(ask)
        while self._is_too_soon(answer):
            await asyncio.sleep(ROUTED_PAUSE_SECONDS)
            answer = await http.ask(ask)
        outputs = outputs_of(answer)
        instance = answer.headers.get(INSTANCE, "")
        if self._is_new(instance):
            await self._learn_async(instance)
        return self._read(instance, outputs)

    def _ask(self, content: bytes, timeout_seconds: float | None, key: str | None) -> Ask:
        if timeout_seconds is not None and not SECONDS_MIN <= timeout_seconds <= SECONDS_MAX:
            told = f"from {SECONDS_MIN} to {SECONDS_MAX:g}"
            raise CellnodeError(f"timeout_seconds must be {told}, not {timeout_seconds!r}")
        headers = {"Content-Type": "application/json"}
        if timeout_seconds is not None:
            headers["X-Request-Timeout"] = f"{timeout_seconds:.6f}".rstrip("0").rstrip(".")
        if key is not None:
            headers["Idempotency-Key"] = key
        seconds = CALL_SECONDS_MAX if timeout_seconds is None else timeout_seconds + GRACE_SECONDS
        return Ask("POST", self._path, (), headers, content, seconds)

    def _is_too_soon(self, answer: Answer) -> bool:
        may_pass = answer.status in (404, 503) and time.monotonic() < self._soon_until
        return may_pass and answer.code() in NOT_ROUTED

    # -- the node's document

    def _document(self) -> Ask:
        seconds = min(self._origin.timeout_seconds, DOCUMENT_SECONDS_MAX)
        return Ask("GET", self._document_path, timeout_seconds=seconds)

    def _is_new(self, instance: str) -> bool:
        return instance not in self._signatures and time.monotonic() >= self._no_document_until

    def _learn(self, instance: str) -> None:
        try:
            self._keep(instance, self._origin.http.ask(self._document()))
        except CellnodeError:
            self._no_document_until = time.monotonic() + ASK_AGAIN_SECONDS

    async def _learn_async(self, instance: str) -> None:
        try:
            self._keep(instance, await self._origin.http_async.ask(self._document()))
        except CellnodeError:
            self._no_document_until = time.monotonic() + ASK_AGAIN_SECONDS

    def _keep(self, instance: str, answer: Answer) -> None:
        if not answer.is_good:
            raise answer.problem()
        if len(self._signatures) >= INSTANCES_KNOWN_MAX:
            self._signatures.clear()
        self._signatures[instance] = Signature(answer.json())

    def _with_base64(self, values: Mapping[str, Any]) -> bytes:
        return encoded(self._signatures[""].with_base64(values), may_hold_bytes=False)

    def _read(self, instance: str, outputs: dict[str, Any]) -> dict[str, Any]:
        signature = self._signatures.get(instance)
        return signature.read(outputs) if signature else outputs


def outputs_of(answer: Answer) -> dict[str, Any]:
    """The output variables of a good answer; every other is raised."""
    if not answer.is_good:
        raise answer.problem()
    document = answer.json()
    outputs = document.get("output") if isinstance(document, dict) else None
    if not isinstance(outputs, dict):
        raise AnswerNotUnderstood("the answer to the call holds no outputs")
    return outputs
