"""The end of a gateway: whoever was let in is answered, whoever is not goes elsewhere."""

from __future__ import annotations

import asyncio
import ctypes
import socket
import struct
from contextlib import suppress

from services.chassis.clock import Clock
from services.chassis.telemetry import logger
from services.gateway.gateway import Gateway
from services.gateway.settings import GatewaySettings

CHECK_SECONDS = 0.01
LAST_HANDSHAKES_SECONDS = 0.02  # Those begun before the first connection was turned away.
CLOSED_SECONDS_MAX = 1.0

_SO_ATTACH_FILTER = 26
# Classic BPF over the TCP header: drop a segment whose flags are SYN without ACK, take all others.
_NO_NEW_CONNECTIONS = (
    (0x30, 0, 0, 13),  # Load the byte of flags,
    (0x54, 0, 0, 0x12),  # of which SYN and ACK count;
    (0x15, 0, 1, 0x02),  # if it is SYN alone,
    (0x06, 0, 0, 0),  # drop it;
    (0x06, 0, 0, 0xFFFF),  # else take it.
)

log = logger("gateway.draining")


async def drain(
    site: Gateway,
    server: asyncio.AbstractServer,
    listening: socket.socket,
    *,
    settings: GatewaySettings,
    clock: Clock,
) -> None:
    """Return when every connection has had its answers, or the time for that is over.

    An inherited socket goes on listening without us. Our own takes connections for a while yet:
    who sends them here has to see first that we are not ready.
    """
    site.is_draining = True
    started = clock.monotonic()
    is_inherited = settings.socket_fd is not None
    if is_inherited:
        server.close()
    while clock.monotonic() - started < settings.drain_idle_seconds:
        if is_inherited and not site.clients:
            break
        await clock.sleep(CHECK_SECONDS)
    if not is_inherited:
        await _close(server, listening, clock)
    while site.clients and clock.monotonic() - started < settings.drain_seconds_max:
        site.close_streams()
        for client in list(site.clients):
            client.close_idle(settings.drain_idle_seconds)
        await clock.sleep(CHECK_SECONDS)
    for client in list(site.clients):
        client.abort()
    with suppress(asyncio.TimeoutError):
        await asyncio.wait_for(server.wait_closed(), CLOSED_SECONDS_MAX)
    log.info("drained", seconds=round(clock.monotonic() - started, 3))


async def _close(server: asyncio.AbstractServer, listening: socket.socket, clock: Clock) -> None:
    """Take what waits in the kernel, too: closing would reset it, and its caller with it.

    Who calls in these moments is not heard, calls again after a second, and is then refused at
    once, as by any address where nobody listens: a balancer goes to the next.
    """
    let_nobody_in(listening)
    await clock.sleep(LAST_HANDSHAKES_SECONDS)
    await clock.sleep(0)  # However late that was, the loop has looked at the socket since.
    server.close()


def let_nobody_in(listening: socket.socket) -> None:
    """New connections; those that are being made, or wait, are not touched."""
    steps = b"".join(struct.pack("=HBBI", *step) for step in _NO_NEW_CONNECTIONS)
    kept = ctypes.create_string_buffer(steps)
    program = struct.pack("HP", len(_NO_NEW_CONNECTIONS), ctypes.addressof(kept))
    try:
        listening.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
    except OSError as error:  # A sandbox may forbid it; then a few may be reset.
        log.warning("connections cannot be held off", error=str(error))
