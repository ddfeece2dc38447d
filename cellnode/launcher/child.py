"""One child process of `cellnode up`: its log, its death with ours, its restarts."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cellnode.launcher.places import UpFailed

RESTART_SECONDS_FIRST = 0.05
RESTART_SECONDS_MAX = 5.0
CALM_SECONDS = 20.0  # Whoever has lived this long starts again with the first delay.
LOG_BYTES_MAX = 32 * 1024 * 1024  # Then its content goes to `<name>.log.1`.
LAST_LINES = 12
EXIT_SETTINGS = 2  # A service says: a setting is wrong, starting anew would not help.
_LAST_BYTES = 8192
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Program:
    """What to start: the command, its environment, the descriptors it inherits."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    directory: Path
    descriptors: tuple[int, ...] = ()


class Child:
    """A process that ends when the launcher does, even by SIGKILL, and writes into a log file."""

    def __init__(self, program: Program, log: Path) -> None:
        self.program = program
        self.log = log
        self.starts = 0
        self._process: asyncio.subprocess.Process | None = None

    @property
    def name(self) -> str:
        return self.program.name

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process and self._process.returncode is None else None

    async def start(self) -> None:
        launcher = os.getpid()
        self.starts += 1
        with self.log.open("ab", buffering=0) as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.program.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self.program.environment),
                cwd=self.program.directory,
                pass_fds=self.program.descriptors,
                start_new_session=True,  # Ctrl-C is for the launcher, which stops them in order.
                preexec_fn=lambda: _die_with(launcher),
            )

    async def ended(self) -> int:
        """Wait for its end; the exit code, negative for a signal."""
        assert self._process is not None, "it was never started"
        return await self._process.wait()

    async def stop(self, grace_seconds: float) -> None:
        """SIGTERM, then SIGKILL after the grace; returns when the process is gone."""
        if self._process is None or self._process.returncode is not None:
            return
        self._send(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._process.wait(), grace_seconds)
        except asyncio.TimeoutError:
            self._send(signal.SIGKILL)
            await self._process.wait()

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def quoted_log(self) -> str:
        """The end of its log, for whoever must find out why it failed."""
        lines = "\n".join(f"    {line}" for line in self._last_lines())
        return f"The end of {self.log}:\n{lines or '    (empty)'}"

    def _last_lines(self) -> list[str]:
        with contextlib.suppress(OSError), self.log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _LAST_BYTES))
            return log.read().decode(errors="replace").splitlines()[-LAST_LINES:]
        return []

    def keep_log_small(self) -> None:
        """Its writer appends, so the file may be cut while it is open."""
        if self.log.exists() and self.log.stat().st_size > LOG_BYTES_MAX:
            shutil.copyfile(self.log, self.log.with_suffix(".log.1"))
            os.truncate(self.log, 0)


async def keep_running(child: Child, tell: Callable[[str], None]) -> None:
    """Start it again whenever it ends, later each time; UpFailed if that cannot help."""
    loop = asyncio.get_running_loop()
    delay = RESTART_SECONDS_FIRST
    while True:
        begun = loop.time()
        code = await child.ended()
        if code == EXIT_SETTINGS:
            raise UpFailed(f"{child.name} refuses its settings:\n{child.quoted_log()}")
        if loop.time() - begun >= CALM_SECONDS:
            delay = RESTART_SECONDS_FIRST
        tell(f"{child.name} ended ({in_words(code)}); it is started again. Log: {child.log}")
        await asyncio.sleep(delay)
        delay = min(2 * delay, RESTART_SECONDS_MAX)
        await child.start()


def in_words(code: int) -> str:
    """An exit code as people say it."""
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


def _die_with(launcher: int) -> None:
    """Runs in the child before its program: the kernel kills it when the launcher is gone."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != launcher:  # It went in between.
        os.kill(os.getpid(), signal.SIGKILL)
