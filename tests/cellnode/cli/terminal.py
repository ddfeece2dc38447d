"""The command as people run it: in a terminal of a given size, or between pipes."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from cellnode.cli import main
from tests.sources import ROOT

COMMAND = [sys.executable, "-P", "-m", "cellnode"]
SECONDS_MAX = 60.0
COLUMNS, ROWS = 100, 40
CHUNK_BYTES = 65536
HIDDEN = {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "CELLNODE_URL", "CELLNODE_PROJECT"}


@dataclass(frozen=True)
class Ended:
    """What a command said, and how it ended."""

    code: int
    out: str
    err: str = ""


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Ours, without what would decide about colours and servers."""
    kept = {name: value for name, value in os.environ.items() if name not in HIDDEN}
    return {**kept, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **(more or {})}


def here(*words: str, given: str = "", more: Mapping[str, str] | None = None) -> Ended:
    """In this process, which has the libraries already: as between pipes, and much sooner."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        for name in HIDDEN:
            patch.delenv(name, raising=False)
        for name, value in (more or {}).items():
            patch.setenv(name, value)
        patch.setattr(sys, "stdin", io.StringIO(given))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(list(words))
    return Ended(code, out.getvalue(), err.getvalue())


def in_pipe(*words: str, given: str = "", more: Mapping[str, str] | None = None) -> Ended:
    """Between pipes, as a program runs it."""
    ended = subprocess.run(
        [*COMMAND, *words],
        input=given,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        env=environment(more),
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


def in_terminal(
    *words: str,
    typed: str = "",
    once: str = "",
    columns: int = COLUMNS,
    more: Mapping[str, str] | None = None,
) -> Ended:
    """In a terminal, with the errors among the rest; typing begins once something is said."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    child = subprocess.Popen(
        [*COMMAND, *words],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment(more),
        start_new_session=True,
        preexec_fn=_take_the_terminal,
    )
    os.close(slave)
    try:
        out = b""
        if typed:
            out = _read(master, once)
            os.write(master, typed.encode())
        out += _read(master)
        return Ended(child.wait(SECONDS_MAX), out.decode(errors="replace"))
    finally:
        child.kill()
        child.wait()
        os.close(master)


def _take_the_terminal() -> None:
    """Ctrl-C reaches those whose terminal it is."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _read(master: int, until: str | None = None) -> bytes:
    """Until that is said, or nobody holds the terminal's other end."""
    out, deadline = b"", time.monotonic() + SECONDS_MAX
    while time.monotonic() < deadline:
        if until is not None and until.encode() in out:
            return out
        if not select.select([master], [], [], 0.5)[0]:
            continue
        try:
            chunk = os.read(master, CHUNK_BYTES)
        except OSError:
            return out
        if not chunk:
            return out
        out += chunk
    raise AssertionError(f"not so after {SECONDS_MAX:g} s: {out!r}")
