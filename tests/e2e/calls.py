"""A caller: plain HTTP to the gateway, one request or a steady load."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

CALL_SECONDS_MAX = 30.0
LOAD_JOIN_SECONDS_MAX = 40.0
BODY_BYTES_MAX = 16 * 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """One answer; status 0 means that the connection broke before it."""

    status: int
    headers: dict[str, str]
    body: bytes
    begun: float  # time.monotonic(), as all times here.
    ended: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def output(self) -> Any:
        assert self.status == 200, f"{self.status}: {self.body[:2000].decode(errors='replace')}"
        return self.json["output"]

    @property
    def code(self) -> str:
        """The code of the problem."""
        return str(self.json.get("code", ""))


class Caller:
    """One connection to a gateway, made anew when it broke."""

    def __init__(self, gateway: tuple[str, int]) -> None:
        self._connection = http.client.HTTPConnection(*gateway, timeout=CALL_SECONDS_MAX)

    def call(self, node: str, headers: dict[str, str] | None = None, **inputs: Any) -> Answer:
        return self.send(node, json.dumps({"input": inputs}).encode(), headers)

    def send(self, node: str, body: bytes, headers: dict[str, str] | None = None) -> Answer:
        begun = time.monotonic()
        sent = {"Content-Type": "application/json", **(headers or {})}
        try:
            self._connection.request("POST", f"/v1/nodes/{node}:execute", body, sent)
            response = self._connection.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            return Answer(0, {}, repr(error).encode(), begun, time.monotonic())
        found = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, found, content, begun, time.monotonic())

    def close(self) -> None:
        self._connection.close()


def call(gateway: tuple[str, int], node: str, **inputs: Any) -> Answer:
    """One request on a connection of its own."""
    caller = Caller(gateway)
    try:
        return caller.call(node, **inputs)
    finally:
        caller.close()


def padded(name: str, size: int, **inputs: Any) -> bytes:
    """A body of exactly this many bytes; the named input is a text as long as that needs."""
    around = len(json.dumps({"input": {**inputs, name: ""}}))
    return json.dumps({"input": {**inputs, name: "x" * (size - around)}}).encode()


@dataclass
class Load:
    """What a steady load has seen so far."""

    answers: list[Answer] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def failed(self) -> list[Answer]:
        return [answer for answer in list(self.answers) if answer.status != 200]

    def broken(self) -> list[Answer]:
        """Connections that broke: a gateway that was killed takes its own requests with it."""
        return [answer for answer in self.failed() if answer.status == 0]

    def refused(self) -> list[Answer]:
        return [answer for answer in self.failed() if answer.status != 0]

    def wait_for(self, more: int) -> None:
        """Until so many further answers have come."""
        wanted, deadline = len(self.answers) + more, time.monotonic() + CALL_SECONDS_MAX
        while len(self.answers) < wanted:
            assert time.monotonic() < deadline, f"only {len(self.answers)} of {wanted} answers"
            time.sleep(0.01)

    def told(self) -> str:
        """The failures, for an assertion's message."""
        kinds = {(answer.status, answer.body[:300]) for answer in self.failed()}
        return f"{len(self.failed())} of {len(self.answers)} failed: {sorted(kinds)[:5]}"


@contextmanager
def load(
    gateway: tuple[str, int],
    node: str,
    *,
    connections: int = 4,
    pause_seconds: float = 0.005,
    inputs: Callable[[], dict[str, Any]] = dict,
) -> Iterator[Load]:
    """Requests from several connections for as long as this is entered."""
    seen = Load()

    def keep_calling() -> None:
        caller = Caller(gateway)
        while not seen._over.is_set():
            seen.answers.append(caller.call(node, **inputs()))
            seen._over.wait(pause_seconds)
        caller.close()

    threads = [threading.Thread(target=keep_calling, daemon=True) for _ in range(connections)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        seen._over.set()
        for thread in threads:
            thread.join(LOAD_JOIN_SECONDS_MAX)
        assert not any(thread.is_alive() for thread in threads), "a caller hangs"
