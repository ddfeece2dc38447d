"""When `up` last ended every instance of a data directory, and removed what they left."""

from __future__ import annotations

import contextlib
import json
from datetime import datetime
from pathlib import Path

ENDED_FILE = "ended.json"  # Written by the launcher.


def all_ended_at(data: Path) -> datetime | None:
    """None if that never was, or nobody could write it down."""
    with contextlib.suppress(OSError, KeyError, TypeError, ValueError):
        return datetime.fromisoformat(json.loads((data / ENDED_FILE).read_text())["at"])
    return None
