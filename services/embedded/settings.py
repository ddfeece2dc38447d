"""Settings of the embedded broker's process, read from CELLNODE_EMBEDDED_*."""

from __future__ import annotations

from pathlib import Path

from services.chassis.settings import Settings


class EmbeddedSettings(Settings):
    """Beside the shared ones: where to tell the address, and where to keep what happens."""

    address_file: Path | None = None  # Written atomically once the broker may be used.
    journal: Path | None = None  # A folder; without one all is forgotten at the end.
