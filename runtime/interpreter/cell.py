"""The compiled cell: runs once per request in the restored namespace, against a deadline."""

from __future__ import annotations

import contextlib
import linecache
import signal
import sys
import time
from types import FrameType
from typing import Any

from .loading import failed, safe_text, traceback_of
from .values import Inputs, Outputs, ProblemFound

CELL_NAME = "<cell>"


class DeadlineExceeded(BaseException):
    """Raised in the cell when its time is over; no Exception, so that cells seldom catch it."""


class Cell:
    """A node's cell with its signature."""

    def __init__(self, config: dict[str, Any]) -> None:
        source: str = config["cell"]
        try:
            self.code = compile(source, CELL_NAME, "exec")
        except Exception as error:  # One that nests too deep ends in two further ways.
            raise failed("Compiling the cell failed", error) from None
        lines = source.splitlines(keepends=True)
        # Tracebacks show the cell's lines; no file has them.
        linecache.cache[CELL_NAME] = (len(source), None, lines, CELL_NAME)
        self.inputs = Inputs(config["inputs"])
        self.outputs = Outputs(config["outputs"], config["body_bytes_max"])
        self.ends_at = 0.0
        self.is_running = False

    def watch_deadlines(self) -> None:
        signal.signal(signal.SIGALRM, self._on_alarm)

    def _on_alarm(self, signum: int, frame: FrameType | None) -> None:
        # A late alarm of the request before must not hit this one.
        if self.is_running and time.monotonic() >= self.ends_at:
            self.is_running = False
            raise DeadlineExceeded("the request ran past its deadline")

    def answer(self, body: bytes, namespace: dict[str, Any], timeout_ms: int) -> bytes:
        """The encoded outputs, or ProblemFound."""
        namespace.update(self._decoded(body))
        try:
            self._run(namespace, timeout_ms / 1000)
        except DeadlineExceeded:
            detail = f"the cell did not end within the {timeout_ms} ms that were left"
            raise ProblemFound("deadline-exceeded", detail) from None
        except BaseException as error:
            raise _cell_error(error) from None
        return self.outputs.encode(namespace)

    def _decoded(self, body: bytes) -> dict[str, Any]:
        try:
            return self.inputs.decode(body)
        except ProblemFound:
            raise
        except Exception as error:  # Too little memory, or a schema that cannot be checked.
            raise _cell_error(error) from None

    def _run(self, namespace: dict[str, Any], timeout_seconds: float) -> None:
        self.ends_at = time.monotonic() + timeout_seconds
        signal.setitimer(signal.ITIMER_REAL, max(timeout_seconds, 0.001))
        self.is_running = True
        try:
            exec(self.code, namespace)
        finally:
            self.is_running = False
            signal.setitimer(signal.ITIMER_REAL, 0)


def _cell_error(error: BaseException) -> ProblemFound:
    text = safe_text(error)
    name = type(error).__name__
    trace = traceback_of(error, __file__)
    with contextlib.suppress(Exception):  # The cell may have closed or replaced it.
        sys.stderr.write(trace)
    return ProblemFound(
        "cell-error",
        f"{name}: {text}"[:4096],
        exception=name,
        message=text[:4096],
        traceback=trace,
    )
