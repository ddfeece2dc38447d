"""`python -m services.api.written`: the api's OpenAPI document, without a running service."""

from __future__ import annotations

import json
import sys
from typing import Any

from services.api.app import operations
from services.api.openapi import document
from services.api.parts import Parts, parts_of
from services.api.settings import ApiSettings
from services.api.store import Store
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
    store = Store(settings.cellnode_store, process.clock)
    return parts_of(process, redis, store)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(written(), indent=2, ensure_ascii=False) + "\n")
