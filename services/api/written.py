"""`python -m services.api.written`: the api's OpenAPI document, without a running service."""

from __future__ import annotations

import json
import sys
from typing import Any

from services.api.app import operations
from services.api.openapi import document
from services.api.parts import Parts
from services.api.projection import Projection
from services.api.settings import ApiSettings
from services.api.store import Store
from services.chassis.bus import Bus
from services.chassis.process import Process
from services.chassis.redis import Redis


def written() -> dict[str, Any]:
    """The document of this version's operations."""
    return document(operations(unconnected()))


def unconnected() -> Parts:
    """Enough to make the operations; nothing is connected to, so nothing need be there."""
    settings = ApiSettings()
    process = Process("api", settings)
    redis = Redis(settings.redis_url)
    seconds = settings.redis_timeout_seconds
    projection = Projection(redis, settings.cellnode_partitions, timeout_seconds=seconds)
    store = Store(settings.cellnode_store, process.clock)
    return Parts(process, Bus(process), redis, store, projection)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(written(), indent=2, ensure_ascii=False) + "\n")
