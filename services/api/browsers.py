"""What a web page in somebody's browser may not do to an api that asks for no credentials.

A page of another site must not send commands (its Origin is not ours), nor read answers by
letting a name of its own point to this machine (its Host is no address and no name of ours).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from services.api.problems import ApiProblem

ANY_HOST = "*"
LOCAL_NAME = "localhost"
PROBES = frozenset({"/livez", "/readyz", "/metrics"})  # Asked under whatever name, and harmless.

Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


def browser_guard(hosts: frozenset[str]) -> Any:
    """A middleware; `hosts` are the names that we go by, besides `localhost` and addresses."""

    @web.middleware
    async def middle(request: web.Request, handler: Next) -> web.StreamResponse:
        if request.path not in PROBES:
            host = request.headers.get(hdrs.HOST, "")
            _check_host(host, hosts)
            _check_origin(request.headers.get(hdrs.ORIGIN), host)
        return await handler(request)

    return middle


def _check_host(host: str, hosts: frozenset[str]) -> None:
    name = _name_of(host)
    if ANY_HOST in hosts or name in hosts or is_local(name):
        return
    raise ApiProblem(
        "unknown-host",
        f"{name or 'an empty Host'} is no name of this api",
        field=hdrs.HOST,
        remedy=f"call it by its address, or add {name or 'the name'} to CELLNODE_API_HOSTS",
    )


def _check_origin(origin: str | None, host: str) -> None:
    if origin is None or urlsplit(origin).netloc.lower() == host.lower():
        return
    raise ApiProblem(
        "cross-origin",
        f"a page of {origin} may not use this api",
        field=hdrs.ORIGIN,
        remedy="call it from a program, or from a page of its own origin",
    )


def _name_of(host: str) -> str:
    """The name or address in a Host header, without the port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def is_local(name: str) -> bool:
    """An address cannot be pointed elsewhere by whoever owns a name, and localhost is nobody's."""
    if name == LOCAL_NAME or name.endswith(f".{LOCAL_NAME}"):
        return True
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
