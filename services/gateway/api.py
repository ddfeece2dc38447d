"""The way to the api: everything that is no call of a node goes through to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from services.gateway.calls import Call
from services.gateway.tracing import traceparent_of, tracestate_of
from services.gateway.tunnel_heads import Lines, forwarded, origin_form, request_head
from services.gateway.tunnels import RETRY, Tunnel


@dataclass(frozen=True)
class ApiLimits:
    """How much at once and how long each."""

    tunnels_max: int = 1000
    connect_seconds_max: float = 2.0
    idle_seconds_max: float = 3660.0  # Longer than any wait that the api grants.


class Api:
    """All requests that are at the api now; each has a connection of its own."""

    def __init__(self, url: str, limits: ApiLimits, now: Callable[[], float]) -> None:
        self.now = now
        self.open: set[Tunnel] = set()
        self.failures = 0
        self._url = url
        self._limits = limits

    def tunnel(self, call: Call, lines: Lines) -> Tunnel:
        return Tunnel(self, call, lines)

    def begin(self, tunnel: Tunnel) -> None:
        """Connect; the request follows once that is done."""
        tunnel.moved_at = self.now()
        if not origin_form(tunnel.call.target):
            tunnel.refuse("bad-request", "The path is not one of printable ASCII characters.")
        elif len(self.open) >= self._limits.tunnels_max:
            count = len(self.open)
            tunnel.refuse("too-many-streams", f"{count} requests are at the api already.", RETRY)
        else:
            self.open.add(tunnel)
            tunnel.opening = asyncio.get_running_loop().create_task(self._connect(tunnel))

    def request_head(self, tunnel: Tunnel) -> bytes:
        call, lines = tunnel.call, tunnel.lines
        host = call.headers.get(b"host", b"")
        added = [
            (b"X-Request-ID", call.request_id),
            (b"Forwarded", forwarded(lines, call.client.peer, host)),
        ]
        added.append((b"traceparent", traceparent_of(call)))
        if state := tracestate_of(call):
            added.append((b"tracestate", state))
        first = (call.method, origin_form(call.target))
        return request_head(first, lines, call.headers, added=added)

    def sweep(self, now: float) -> None:
        """Once a second: end what has stood still for too long."""
        limit = self._limits.idle_seconds_max
        for tunnel in [one for one in self.open if now - one.moved_at > limit]:
            if tunnel.call.whole:
                tunnel.lose(f"it sent nothing for {limit:g} s")
            else:
                tunnel.refuse("request-timeout", f"The body stood still for {limit:g} s.")

    def close_streams(self) -> None:
        """The gateway stops: what has no end of its own is ended."""
        for tunnel in list(self.open):
            tunnel.close_stream()

    async def _connect(self, tunnel: Tunnel) -> None:
        try:
            async with asyncio.timeout(self._limits.connect_seconds_max):
                await self._connection(tunnel)
        except (OSError, TimeoutError) as error:
            if not tunnel.is_over:
                tunnel.lose(str(error) or "it does not take connections")

    async def _connection(self, tunnel: Tunnel) -> None:
        loop = asyncio.get_running_loop()
        scheme, _, rest = self._url.partition(":")
        if scheme == "unix":
            await loop.create_unix_connection(lambda: tunnel, rest.removeprefix("//"))
        else:
            host, _, port = rest.strip("/").rpartition(":")
            await loop.create_connection(lambda: tunnel, host.strip("[]"), int(port))
