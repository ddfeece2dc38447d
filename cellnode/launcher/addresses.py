"""Where everything of one `up` can be reached: as printed, `addresses.json`, `prometheus.json`."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

JOB = "cellnode"  # Of all services, in Prometheus.


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

    def as_targets(self) -> str:
        """What Prometheus scrapes, as its `file_sd_configs` reads it again after each change."""
        targets = [
            {"targets": [address], "labels": {"job": JOB, "service": name}}
            for name, address in self.services.items()
        ]
        return json.dumps(targets, indent=2) + "\n"

    def write(self, file: Path, targets: Path) -> None:
        """Atomically: who waits for the file never reads half of it."""
        _write(targets, self.as_targets())
        _write(file, self.as_json())


def _write(file: Path, text: str) -> None:
    written = file.with_suffix(f".{os.getpid()}")
    written.write_text(text)
    with contextlib.suppress(FileNotFoundError):
        written.replace(file)
