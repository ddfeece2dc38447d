"""All connections to one instance, and which of them a call takes."""

from __future__ import annotations

import asyncio
from collections import deque

from services.gateway.answers import Owner, plain_pattern
from services.gateway.calls import Call
from services.gateway.upstreams import BUFFERED_BYTES_MAX, Upstream

CONNECT_SECONDS_MAX = 2.0
IDLE_SWEEPS_MAX = 4  # Seconds; well below the agent's own, so that it never closes as we send.
DEPTH_MAX = 16  # Calls on one connection at once.


class Pool:
    """All connections to one instance; the one used last is used first."""

    def __init__(self, instance: str, url: str, owner: Owner) -> None:
        self.instance_bytes = instance.encode()
        self.instance_line = b"Cellnode-Instance: %b\r\n" % self.instance_bytes
        self.plain_match = plain_pattern(instance).match
        self.owner = owner
        self._url = url
        self._usable: list[Upstream] = []
        self.pending: deque[tuple[Call, bytes]] = deque()
        self._opening: set[asyncio.Task[None]] = set()
        self._is_retired = False

    def send(self, call: Call, head: bytes) -> None:
        if len(call.body) > BUFFERED_BYTES_MAX:
            self._send_alone(call, head)
        elif not self._usable:
            self._send_later(call, head)
        else:
            upstream = self._usable[-1]
            upstream.send(call, head)
            if len(upstream.calls) >= DEPTH_MAX:
                self.unlist(upstream)

    def _send_alone(self, call: Call, head: bytes) -> None:
        """A large body would hold up what is sent behind it."""
        upstream = next((one for one in self._usable if not one.calls), None)
        if upstream is None:
            self._send_later(call, head)
        else:
            upstream.send(call, head)
            self.unlist(upstream)

    def _send_later(self, call: Call, head: bytes) -> None:
        self.pending.append((call, head))
        task = asyncio.get_running_loop().create_task(self._open())
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def forget(self, call: Call) -> None:
        """The call gave up while its connection was being made."""
        self.pending = deque(pair for pair in self.pending if pair[0] is not call)

    def freed(self, upstream: Upstream) -> None:
        """An answer is complete, or the connection is new: there is room on it."""
        if self._is_retired and not upstream.calls and not self.pending:
            upstream.close()
            return
        if not upstream.is_listed:
            upstream.is_listed = True
            self._usable.append(upstream)
        if self.pending and not upstream.calls:
            self.send(*self.pending.popleft())

    def unlist(self, upstream: Upstream) -> None:
        if upstream.is_listed:
            upstream.is_listed = False
            self._usable.remove(upstream)

    def sweep(self) -> None:
        """Once a second: close what was idle for long, before the agent does."""
        for upstream in [one for one in self._usable if not one.calls]:
            upstream.idle_sweeps += 1
            if upstream.idle_sweeps > IDLE_SWEEPS_MAX:
                upstream.close()

    def retire(self) -> None:
        """The instance has left balancing: calls under way finish, then all is closed."""
        self._is_retired = True
        usable, self._usable = self._usable, []
        for upstream in usable:
            upstream.is_listed = False  # Whoever finishes on it comes here to have it closed.
            if not upstream.calls:
                upstream.close()

    async def _open(self) -> None:
        try:
            upstream = await asyncio.wait_for(self._connect(), CONNECT_SECONDS_MAX)
        except (OSError, asyncio.TimeoutError) as error:
            self._unreachable(f"cannot connect: {error or 'timed out'}")
        else:
            self.freed(upstream)

    async def _connect(self) -> Upstream:
        loop = asyncio.get_running_loop()
        scheme, _, rest = self._url.partition(":")
        if scheme == "unix":
            _, upstream = await loop.create_unix_connection(lambda: Upstream(self), _path(rest))
        else:
            host, _, port = rest.strip("/").rpartition(":")
            _, upstream = await loop.create_connection(lambda: Upstream(self), host, int(port))
        return upstream

    def _unreachable(self, why: str) -> None:
        pending, self.pending = self.pending, deque()
        for call, _ in pending:
            self.owner.lost(call, why, sent=False, heard=False)


def _path(rest: str) -> str:
    """`unix:/a/b` and `unix:///a/b` name the same socket."""
    return rest.removeprefix("//")
