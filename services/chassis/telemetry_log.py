"""A log handler that holds up nobody: whoever reads slowly, or not at all, loses lines instead."""

from __future__ import annotations

import logging
import os
import queue
import threading
from contextlib import suppress

from services.chassis.clock import SYSTEM_CLOCK

LINES_MAX = 10_000  # Not written yet; what comes beyond it is dropped and counted.
FLUSH_SECONDS_MAX = 1.0
_PAUSE_SECONDS = 0.005


class UnblockedHandler(logging.Handler):
    """Formats where the line is said, writes in a thread of its own.

    Pipes and disks stand still when whoever is behind them does; a service must not. The file is
    written without Python's buffer, whose lock a thread that hangs would keep at the end.
    """

    def __init__(self, file: int) -> None:
        super().__init__()
        self._file = file
        self._lines: queue.Queue[str] = queue.Queue(LINES_MAX)
        self._lost = 0
        threading.Thread(target=self._write_on, daemon=True, name="log").start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.put_nowait(self.format(record) + "\n")
        except queue.Full:
            self._lost += 1
        except (TypeError, ValueError, LookupError, AttributeError, RecursionError):
            self.handleError(record)

    def flush(self) -> None:
        """Wait until all is written, but not for long; `logging` calls it at the end, too."""
        ends_at = SYSTEM_CLOCK.monotonic() + FLUSH_SECONDS_MAX
        pause = threading.Event()
        while self._lines.unfinished_tasks and SYSTEM_CLOCK.monotonic() < ends_at:
            pause.wait(_PAUSE_SECONDS)

    def _write_on(self) -> None:
        while True:
            line = self._lines.get()
            with suppress(OSError):  # Full, or gone: there is nobody to tell.
                self._write(line.encode(errors="replace"))
            self._lines.task_done()
            if self._lost and self._lines.empty():
                lost, self._lost = self._lost, 0
                logging.getLogger(__name__).warning("%d log lines were lost", lost)

    def _write(self, rest: bytes) -> None:
        while rest:
            rest = rest[os.write(self._file, rest) :]
