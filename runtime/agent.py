"""The agent of an instance: speaks HTTP, watches the interpreter, says how it stands."""

from __future__ import annotations

import os

from runtime import instance as instances
from runtime.logs import Log
from runtime.spawning import Spawned, spawn

INVALID_INSTANCE = 2  # Exit codes: told in `exit.json`.
CANNOT_START = 3


def run(directory: str) -> int:
    """Start the interpreter first: it loads while the rest of the agent does."""
    log = Log(os.path.join(os.path.abspath(directory), "log"))
    log.take_streams()
    try:
        instance = instances.read(directory)
    except instances.InvalidInstance as error:
        log.say(f"invalid instance: {error}")
        return INVALID_INSTANCE
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
