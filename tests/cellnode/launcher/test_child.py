"""A child of `up`: it ends with the launcher, and is started again later each time."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

from cellnode.launcher.child import (
    LOG_BYTES_MAX,
    RESTART_SECONDS_FIRST,
    Child,
    Program,
    in_words,
    keep_running,
)
from cellnode.launcher.places import UpFailed
from tests.e2e.waiting import until

SLEEPS = "import time; time.sleep(60)"


def a_child(tmp_path: Path, code: str) -> Child:
    program = Program("sleeper", [sys.executable, "-c", code], dict(os.environ), tmp_path)
    return Child(program, tmp_path / "sleeper.log")


def is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


async def test_a_child_that_ends_is_started_again_later_each_time(tmp_path: Path) -> None:
    child = a_child(tmp_path, "import time; print(time.monotonic())")
    told: list[str] = []
    await child.start()
    keeper = asyncio.create_task(keep_running(child, told.append))

    await asyncio.to_thread(until, "five starts", lambda: child.starts >= 5)
    keeper.cancel()
    await asyncio.gather(keeper, return_exceptions=True)  # It may be starting the next one.
    await child.stop(1)

    starts = [float(line) for line in child.log.read_text().splitlines()[:4]]
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    delays = [RESTART_SECONDS_FIRST * 2**n for n in range(3)]
    assert [gap >= delay for gap, delay in zip(gaps, delays, strict=True)] == [True] * 3
    assert "exit code 0" in told[0]
    assert str(child.log) in told[0]


async def test_wrong_settings_are_told_and_not_tried_again(tmp_path: Path) -> None:
    child = a_child(tmp_path, "import sys; print('CELLNODE_X is not a setting'); sys.exit(2)")
    await child.start()

    with pytest.raises(UpFailed, match="CELLNODE_X is not a setting"):
        await asyncio.wait_for(keep_running(child, print), 10)

    assert child.starts == 1


async def test_a_child_that_ignores_sigterm_is_killed_after_its_grace(tmp_path: Path) -> None:
    ignore = (
        "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True)"
    )
    child = a_child(tmp_path, f"{ignore}; {SLEEPS}")
    await child.start()
    await asyncio.to_thread(until, "it runs", lambda: "deaf" in child.quoted_log())
    begun = time.monotonic()

    await child.stop(0.2)

    assert 0.2 <= time.monotonic() - begun < 2
    assert child.pid is None
    assert await child.ended() == -signal.SIGKILL


def test_a_killed_launcher_takes_its_children_with_it(tmp_path: Path) -> None:
    """SIGKILL leaves it no time to stop anything, so the kernel has to do it."""
    source = f"""
import asyncio, os, pathlib, sys
from cellnode.launcher.child import Child, Program
async def main():
    program = Program("c", [sys.executable, "-c", {SLEEPS!r}], dict(os.environ), pathlib.Path("."))
    child = Child(program, pathlib.Path("c.log"))
    await child.start()
    print(child.pid, flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", source]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=-1) as launcher:
        assert launcher.stdout is not None
        child = int(launcher.stdout.readline())
        assert is_alive(child)
        launcher.kill()

    until("the child is gone", lambda: not is_alive(child), seconds=2)


async def test_a_log_that_grew_too_large_is_cut_while_it_is_written(tmp_path: Path) -> None:
    child = a_child(tmp_path, SLEEPS)
    with child.log.open("wb") as log:
        log.truncate(LOG_BYTES_MAX + 1)

    child.keep_log_small()

    assert child.log.stat().st_size == 0
    assert child.log.with_suffix(".log.1").stat().st_size == LOG_BYTES_MAX + 1


def test_the_end_of_a_process_is_told_in_words() -> None:
    assert [in_words(code) for code in (0, 3, -9, -15)] == [
        "exit code 0",
        "exit code 3",
        "SIGKILL",
        "SIGTERM",
    ]
