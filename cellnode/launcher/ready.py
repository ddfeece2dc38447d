"""Ask the services whether they are ready, over plain HTTP on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from cellnode.launcher.child import Child
from cellnode.launcher.places import UpFailed

READY_SECONDS_MAX = 30.0
STARTS_MAX = 5  # A service that ends so often before it is ready will not become it.
ASK_SECONDS_MAX = 1.0
PAUSE_SECONDS = 0.03
_OK = b"200"


async def wait_until_ready(children: Mapping[str, Child], addresses: Mapping[str, str]) -> None:
    """All /readyz answer 200, or UpFailed with the end of the log of who does not."""
    waiting = set(addresses)
    deadline = asyncio.get_running_loop().time() + READY_SECONDS_MAX
    while waiting:
        waiting -= {name for name in sorted(waiting) if await is_ready(addresses[name])}
        late = [children[name] for name in sorted(waiting)]
        if hopeless := [child for child in late if child.starts > STARTS_MAX]:
            raise UpFailed("\n".join(_complaint(child) for child in hopeless))
        if late and asyncio.get_running_loop().time() > deadline:
            raise UpFailed("\n".join(_complaint(child) for child in late))
        await asyncio.sleep(PAUSE_SECONDS if waiting else 0)


def _complaint(child: Child) -> str:
    how = "did not become ready" if child.starts == 1 else f"ended {child.starts - 1} times"
    return f"{child.name} {how}. {child.quoted_log()}"


async def is_ready(address: str) -> bool:
    """Whether /readyz at `host:port` answers 200 within its second."""
    try:
        return await asyncio.wait_for(_ask(address), ASK_SECONDS_MAX)
    except (OSError, asyncio.TimeoutError):
        return False


async def _ask(address: str) -> bool:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(
            f"GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode()
        )
        status = (await reader.readline()).split()
        return len(status) > 1 and status[1] == _OK
    finally:
        writer.close()
