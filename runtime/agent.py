"""The agent of an instance: speaks HTTP, watches the interpreter, says how it stands."""

from __future__ import annotations

import sys

from runtime import instance as instances
from runtime.logs import Log
from runtime.spawning import Spawned, spawn

INVALID_INSTANCE = 2  # Exit codes: told in `exit.json`.
CANNOT_START = 3


def run(directory: str) -> int:
    """Start the interpreter first: it loads while the rest of the agent does."""
    try:
        instance = instances.read(directory)
    except instances.InvalidInstance as error:
        sys.stderr.write(f"{error}\n")
        return INVALID_INSTANCE
    log = Log(instance.log)
    log.take_streams()
    spawned = _spawned(instance, log)
    if spawned is None:
        return CANNOT_START
    from runtime.life import live

    return live(instance, log, spawned)


def _spawned(instance: instances.Instance, log: Log) -> Spawned | None:
    try:
        return spawn(instance)
    except OSError as error:
        log.say(f"cannot start {instance.python}: {error}")
        return None
