"""Where everything of one `up` can be reached, as printed and as written to `addresses.json`."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Addresses:
    """What a program reads to find the system of a data directory."""

    gateway: str  # The one public origin.
    api: str  # Behind it; the gateway forwards what is no call of a node.
    kafka: str
    redis: str
    data: str
    services: Mapping[str, str]  # host:port of /livez, /readyz and /metrics.

    def as_json(self) -> str:
        return json.dumps({**vars(self), "services": dict(self.services)}, indent=2) + "\n"

    def write(self, file: Path) -> None:
        """Atomically: who waits for the file never reads half of it."""
        written = file.with_suffix(f".{os.getpid()}")
        written.write_text(self.as_json())
        with contextlib.suppress(FileNotFoundError):
            written.replace(file)
