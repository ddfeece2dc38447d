"""The client that is used where none is named."""

from __future__ import annotations

import atexit
from functools import lru_cache

from cellnode.client import Client
from cellnode.origin import find_project, find_url


@lru_cache(maxsize=16)
def _kept(url: str, project: str) -> Client:
    client = Client(url, project=project)
    atexit.register(client.close)
    return client


def shared_client() -> Client:
    """Of the server and project that are found now; its connections are used again."""
    return _kept(find_url(), find_project())
