"""Ask the services how they fare, over plain HTTP on loopback."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping

from cellnode.launcher.child import Child
from cellnode.launcher.places import UpFailed

READY_SECONDS_MAX = 30.0
STARTS_MAX = 5  # A service that ends so often before it is ready will not become it.
ASK_SECONDS_MAX = 1.0
PAUSE_SECONDS = 0.03
WATCH_SECONDS = 1.0
_ANSWER_BYTES_MAX = 64 * 1024
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


async def watch_condition(address: str, name: str, tell: Callable[[str], None]) -> None:
    """Tell what the process at `host:port` says of one condition, whenever that changes."""
    told = ""
    while True:
        said = (await _conditions(address)).get(name, told)
        if said and said != told:
            tell(said)
        told = said
        await asyncio.sleep(WATCH_SECONDS)


async def is_ready(address: str) -> bool:
    """Whether /readyz at `host:port` answers 200 within its second."""
    status, _ = await _readiness(address)
    return status == _OK


async def _conditions(address: str) -> dict[str, str]:
    """The sentence of each condition; none if nobody answers."""
    _, body = await _readiness(address)
    try:
        return {one["name"]: str(one["sentence"]) for one in json.loads(body)["conditions"]}
    except (ValueError, KeyError, TypeError):
        return {}


async def _readiness(address: str) -> tuple[bytes, bytes]:
    """Status and body of /readyz; empty if there is no answer in time."""
    try:
        return await asyncio.wait_for(_ask(address), ASK_SECONDS_MAX)
    except (OSError, asyncio.TimeoutError, EOFError, ValueError):
        return b"", b""


async def _ask(address: str) -> tuple[bytes, bytes]:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=_ANSWER_BYTES_MAX)
    try:
        writer.write(
            f"GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        status = head.split()[1:2]
        return (status[0] if status else b""), await reader.read(_ANSWER_BYTES_MAX)
    finally:
        writer.close()
