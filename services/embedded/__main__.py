"""Starts the embedded broker's process."""

from __future__ import annotations

from services.chassis.process import run
from services.embedded.app import embedded
from services.embedded.settings import EmbeddedSettings

if __name__ == "__main__":
    run("embedded", EmbeddedSettings, embedded)
