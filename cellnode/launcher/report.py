"""How `cellnode up` speaks: a table on a terminal, plain lines in a pipe."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TextIO

from cellnode.launcher.addresses import Addresses

_BOLD, _DIM, _GREEN, _CYAN, _OFF = "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[36m", "\x1b[0m"


class Report:
    """Writes what happens to one stream; colours only where a person reads."""

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        self._stream = sys.stdout if stream is None else stream
        self._quiet = quiet
        self._is_terminal = self._stream.isatty() and "NO_COLOR" not in os.environ

    def note(self, sentence: str) -> None:
        """Something happened that somebody may want to know."""
        if not self._quiet:
            self._line(f"{self._styled('cellnode:', _DIM)} {sentence}")

    def ready(self, addresses: Addresses, seconds: float) -> None:
        """The addresses, as a table or as `name value` lines."""
        rows = [
            ("gateway", addresses.gateway, "everything is here: /v1/nodes, /v1/nodes/NODE:execute"),
            ("api", addresses.api, "behind the gateway; what it can do: /openapi.json"),
            ("kafka", addresses.kafka, "for programs on the bus: topic cellnode.commands"),
            ("redis", addresses.redis, "the projection, for looking"),
            ("data", addresses.data, "checkpoints, journal, instances, logs"),
        ]
        if self._quiet:
            return
        if not self._stream.isatty():
            for name, value, _ in rows:
                self._line(f"{name} {value}")
            return self._line(f"ready after {seconds:.1f} s")
        self._table(rows)
        self._line(
            f"\n  {self._styled('ready', _GREEN)} after {seconds:.1f} s. "
            f"{self._styled('Ctrl-C stops everything; the next start brings nodes back.', _DIM)}\n"
        )

    def _table(self, rows: list[tuple[str, str, str]]) -> None:
        width = max(len(value) for _, value, _ in rows)
        self._line("")
        for name, value, meaning in rows:
            shown = self._styled(value.ljust(width), _CYAN)
            self._line(
                f"  {self._styled(name.ljust(8), _BOLD)} {shown}  {self._styled(meaning, _DIM)}"
            )

    def _styled(self, text: str, style: str) -> str:
        return f"{style}{text}{_OFF}" if self._is_terminal else text

    def _line(self, text: str) -> None:
        with contextlib.suppress(OSError):  # Who has stopped reading must not stop the stopping.
            print(text, file=self._stream, flush=True)
