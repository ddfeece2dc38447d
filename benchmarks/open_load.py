"""Open-loop load: requests at intended times, whatever became of those before.

`python -m benchmarks.open_load HOST:PORT NODE RATE` until SIGTERM; then one line of JSON. Most
requests take a kept connection, some a new one. Nothing is ever sent again: what fails has failed.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from dataclasses import dataclass, field

import uvloop

from benchmarks.rows import percentile

ANSWER_SECONDS_MAX = 20.0
NEW_CONNECTION_EVERY = 5  # Requests.
KEPT_MAX = 64  # Connections between two requests.
FAILURES_TOLD_MAX = 20
LAST_ANSWERS_SECONDS = 25.0
BODY = b'{"input": {"v": 1}}'


@dataclass
class Told:
    """What the load has seen."""

    seconds: list[float] = field(default_factory=list)  # From the intended time to the answer.
    late_seconds: list[float] = field(default_factory=list)  # From there to the sending.
    failures: list[str] = field(default_factory=list)
    connections: int = 0

    def as_json(self) -> str:
        return json.dumps(
            {
                "requests": len(self.seconds) + len(self.failures),
                "failed": len(self.failures),
                "failures": self.failures[:FAILURES_TOLD_MAX],
                "connections": self.connections,
                "p50_seconds": percentile(self.seconds, 50),
                "p99_seconds": percentile(self.seconds, 99),
                "longest_seconds": max(self.seconds, default=None),
                "late_p99_seconds": percentile(self.late_seconds, 99),
            }
        )


class Connection:
    """One connection; `is_over` once it was told to be closed, or was."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._is_told_to_close = False

    @property
    def is_over(self) -> bool:
        return self._is_told_to_close or self._reader.at_eof() or self._writer.is_closing()

    async def ask(self, request: bytes) -> int:
        """The status of the answer."""
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        await self._reader.readexactly(length)
        self._is_told_to_close = b"connection: close" in head
        return int(head.split(b" ", 2)[1])

    def close(self) -> None:
        self._writer.close()


class OpenLoad:
    """One load on one node."""

    def __init__(self, host: str, port: int, node: str) -> None:
        head = f"POST /v1/nodes/{node}:execute HTTP/1.1\r\nHost: {host}\r\n"
        self._request = f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY
        self._where = (host, port)
        self._kept: list[Connection] = []
        self.told = Told()

    async def run(self, rate: float, stopped: asyncio.Event) -> None:
        """So many requests a second until stopped, then until the last is answered."""
        loop, asking, n = asyncio.get_running_loop(), set[asyncio.Task[None]](), 0
        begun = loop.time()
        while not stopped.is_set():
            intended = begun + n / rate
            await asyncio.sleep(max(0.0, intended - loop.time()))
            task = loop.create_task(
                self._request_at(intended, is_new=n % NEW_CONNECTION_EVERY == 0)
            )
            asking.add(task)
            task.add_done_callback(asking.discard)
            n += 1
        if asking:
            await asyncio.wait(set(asking), timeout=LAST_ANSWERS_SECONDS)
        self.told.failures += ["no answer at all"] * len(asking)

    async def _request_at(self, intended: float, *, is_new: bool) -> None:
        loop, phase = asyncio.get_running_loop(), "connecting"
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                connection = await self._connection(is_new)
                phase = "asking"
                self.told.late_seconds.append(loop.time() - intended)
                status = await connection.ask(self._request)
        except (OSError, EOFError, TimeoutError, ValueError, LookupError) as error:
            self.told.failures.append(f"{phase}: {error!r}, new connection: {is_new}")
            return
        if status != 200:
            self.told.failures.append(f"status {status}")
        else:
            self.told.seconds.append(loop.time() - intended)
        if is_new or connection.is_over or len(self._kept) >= KEPT_MAX:
            connection.close()
        else:
            self._kept.append(connection)

    async def _connection(self, is_new: bool) -> Connection:
        while self._kept and not is_new:
            kept = self._kept.pop(0)  # The one that waited longest, so that all are used.
            if not kept.is_over:
                return kept
            kept.close()
        self.told.connections += 1
        return Connection(*await asyncio.open_connection(*self._where))


async def main(address: str, node: str, rate: float) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    host, _, port = address.rpartition(":")
    load = OpenLoad(host, int(port), node)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await load.run(rate, stopped)
    sys.stdout.write(load.told.as_json() + "\n")


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
