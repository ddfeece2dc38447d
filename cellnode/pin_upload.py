"""Bring a pin to the server that is used here, if one answers."""

from __future__ import annotations

import socket
import warnings
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cellnode.client import Client
from cellnode.errors import CellnodeError, ServerUnreachable
from cellnode.origin import LOOPBACK
from cellnode.shared import shared_client

if TYPE_CHECKING:
    from cellnode.pinning import Pin
    from cellnode.uploading import OnUpload

CONNECT_SECONDS_MAX = 1.0
STACK_TO_CALLER = 3  # uploaded, pin, whoever pinned.


def uploaded(pin: Pin, client: Client | None, on_upload: OnUpload | None, *, is_must: bool) -> bool:
    """Whether the server has it now. Unless it is a must, a server that is away is none."""
    client = client or shared_client()
    if not is_must and not is_listening(client.url):
        return False
    try:
        client.upload(pin, on_upload=on_upload)
        return True
    except CellnodeError as error:
        if is_must:
            raise
        if not isinstance(error, ServerUnreachable):
            told = f"{pin.name} is pinned here, but not on {client.url}: {error}"
            warnings.warn(told, _warning(), stacklevel=STACK_TO_CALLER)
        return False


def is_listening(url: str) -> bool:
    """Whether somebody may answer there; a look at this machine costs next to nothing."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host not in LOOPBACK:
        return True  # Perhaps behind a proxy: only a request can tell.
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    try:
        socket.create_connection((host, port), CONNECT_SECONDS_MAX).close()
    except OSError:
        return False
    return True


def _warning() -> type[Warning]:
    from cellnode.pinning import NotUploaded

    return NotUploaded
