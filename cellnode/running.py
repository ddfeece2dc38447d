"""Run the cells of a file in a fresh process, bounded in time, and get its pins."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from cellnode.errors import FileFailed, PinError
from cellnode.pin_gathering import Skipped
from cellnode.pinning import Pin
from cellnode.store import Store

TAIL_LINES = 20  # Of the output, told when the process ended without a word.
LAST_WORDS_SECONDS_MAX = 2.0

Json = dict[str, Any]
OnOutput = Callable[[str], None]


class Run:
    """One file's cells in one fresh process."""

    def __init__(self, file: Path, python: str | None, on_output: OnOutput | None) -> None:
        self._file = file
        self._python = python or sys.executable
        self._on_output = on_output
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)

    def pins(self, steps: list[Json], seconds_max: float) -> list[Pin]:
        """Do the steps; FileFailed or PinError with the cell, the line and the remedy."""
        with tempfile.TemporaryDirectory(prefix="cellnode-run-") as folder:
            request, result = Path(folder) / "request.json", Path(folder) / "result.json"
            request.write_text(json.dumps({"file": str(self._file), "steps": steps}))
            with self._started([str(request), str(result)]) as process:
                try:
                    code = process.wait(seconds_max)
                except subprocess.TimeoutExpired:
                    raise self._too_long(result, seconds_max) from None
            found = read(result)
        if "failed" in found:
            raise self._failed(found)
        if code != 0 or len(found.get("pins", ())) < sum("pin" in step for step in steps):
            raise self._ended(found, code)
        return [pin_of(each) for each in found["pins"]]

    @contextmanager
    def _started(self, arguments: list[str]) -> Iterator[subprocess.Popen[str]]:
        """The process; it and all that it started are gone afterwards."""
        # Nothing waits for a window or for somebody to type.
        env = {"MPLBACKEND": "Agg", **os.environ, "PYTHONUNBUFFERED": "1"}
        is_notebook = self._file.suffix == ".ipynb"
        try:
            process = subprocess.Popen(
                [self._python, "-m", "cellnode.running_child", *arguments],
                env=env,
                cwd=self._file.resolve().parent if is_notebook else None,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            raise FileFailed(f"{self._python} cannot be started: {error}") from None
        assert process.stdout is not None, "it was asked for"
        reader = threading.Thread(target=self._read, args=(process.stdout,), daemon=True)
        reader.start()
        try:
            yield process
            reader.join(LAST_WORDS_SECONDS_MAX)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            reader.join(LAST_WORDS_SECONDS_MAX)

    def _read(self, output: IO[str]) -> None:
        with output:
            for line in output:
                self._tail.append(line)
                if self._on_output is not None:
                    self._on_output(line)

    def _failed(self, found: Json) -> Exception:
        failed = found["failed"]
        if failed["is_pin"]:
            return PinError(f"{self._file.name}: {failed['text']}")
        where = self._where(found.get("at"), failed["line"])
        told = f"{where} failed: {failed['kind']}: {failed['text']}".rstrip(": ")
        return FileFailed(
            told, cell=found["at"], line=failed["line"], traceback=failed["traceback"]
        )

    def _too_long(self, result: Path, seconds_max: float) -> FileFailed:
        at = read(result).get("at")
        told = f"{self._where(at, 0)} was still running after {seconds_max:g} s in all"
        return FileFailed(f"{told}; give it longer, or make it faster", cell=at or 0)

    def _ended(self, found: Json, code: int) -> FileFailed:
        at, said = found.get("at"), "".join(self._tail).strip()
        how = f"by signal {-code}" if code < 0 else f"with code {code}"
        told = f"the process that ran {self._where(at, 0)} ended {how}"
        return FileFailed(f"{told}\n{said}".rstrip(), cell=at or 0)

    def _where(self, cell: int | None, line: int) -> str:
        parts = [self._file.name, f"cell {cell}" if cell is not None else "", f"line {line}"]
        return ", ".join(part for part in parts if part and part != "line 0")


def read(path: Path) -> Json:
    """The result as far as it was written."""
    try:
        found: Json = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    return found


def pin_of(told: Json) -> Pin:
    """The pin that the process has made."""
    store = Store(told["store"])
    return Pin(
        told["name"],
        told["project"],
        told["digest"],
        store.manifest(told["digest"]),
        tuple(Skipped(*each) for each in told["skipped"]),
        told["written_bytes"],
        store.directory,
    )
