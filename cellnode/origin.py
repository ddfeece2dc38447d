"""One server and one project: where it is, and JSON to and from it."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from cellnode.errors import AnswerNotUnderstood, CellnodeError, TimedOut, WaitTimedOut
from cellnode.http_asking import Answer, Ask
from cellnode.store import NAME_PATTERN

if TYPE_CHECKING:
    from cellnode.http import Http
    from cellnode.http_async import AsyncHttp

DEFAULT_URL = "http://127.0.0.1:8080"
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
DEFAULT_PROJECT = "default"
GRACE_SECONDS = 2.0  # The server tells of a wait that was in vain; it needs a moment for it.
PAGES_MAX = 100_000
ACTOR_CHARACTERS_MAX = 128

Params = Mapping[str, str | Iterable[str] | None]


def find_url(url: str | None = None) -> str:
    """The argument, else `$CELLNODE_URL`, else the system that `cellnode up` started here."""
    found = url or os.environ.get("CELLNODE_URL") or _of_system_here() or DEFAULT_URL
    try:
        parts = urlsplit(found)
        _ = parts.port
    except ValueError as error:
        raise CellnodeError(f"{found!r} is no address of a server ({error})") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise CellnodeError(f"{found!r} is no address of a server; write one like {DEFAULT_URL}")
    return found.rstrip("/")


def _of_system_here() -> str | None:
    data = Path(os.environ.get("CELLNODE_DATA") or Path.home() / ".cellnode")
    try:
        gateway = json.loads((data / "addresses.json").read_bytes())["gateway"]
    except (OSError, ValueError, KeyError, TypeError):
        return None  # Nothing was started here.
    return gateway if isinstance(gateway, str) else None


def find_project(project: str | None = None) -> str:
    """The argument, else `$CELLNODE_PROJECT`, else `default`."""
    found = project or os.environ.get("CELLNODE_PROJECT") or DEFAULT_PROJECT
    if not NAME_PATTERN.match(found):
        raise CellnodeError(
            f"project: {found!r} must start with a small letter and hold only small letters, "
            "digits and dashes, at most 63"
        )
    return found


def path_of(*parts: str, verb: str = "") -> str:
    """`/v1/...` of these parts, whatever they hold."""
    return "/v1/" + "/".join(quote(part, safe="") for part in parts) + verb


class Origin:
    """Asks one server about one project. Connections are opened at the first request."""

    def __init__(self, url: str, project: str, timeout_seconds: float) -> None:
        if not timeout_seconds > 0:
            raise CellnodeError(f"timeout_seconds must be above 0, not {timeout_seconds!r}")
        self.url = url
        self.project = project
        self.timeout_seconds = timeout_seconds

    @cached_property
    def http(self) -> Http:
        """The door for threads."""
        from cellnode.http import Http

        return Http(self.url, self._headers)

    @cached_property
    def http_async(self) -> AsyncHttp:
        """The door for coroutines."""
        from cellnode.http_async import AsyncHttp

        return AsyncHttp(self.url, self._headers)

    @property
    def _headers(self) -> dict[str, str]:
        return {"Cellnode-Project": self.project}

    def answer(self, ask: Ask) -> Answer:
        """A good answer; every problem is raised."""
        answer = self.http.ask(ask)
        if not answer.is_good:
            raise answer.problem()
        return answer

    def get(self, path: str, params: Params | None = None) -> Any:
        """The JSON at a path."""
        ask = Ask("GET", path, pairs(params), timeout_seconds=self.timeout_seconds)
        return self.answer(ask).json()

    def send(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float | None = None,
    ) -> Any:
        """The JSON that answers a change; it is carried out once, however often it is sent."""
        content = None if body is None else json.dumps(body, allow_nan=False).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        once = {"Idempotency-Key": uuid.uuid4().hex, "Cellnode-Actor": actor()}
        ask = Ask(
            method,
            path,
            pairs(params),
            {**kind, **once, **(headers or {})},
            content,
            timeout_seconds or self.timeout_seconds,
        )
        answer = self.answer(ask)
        return answer.json() if answer.body else {}

    def accepted(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """What answers a command once it was accepted; why it was not is raised."""
        seconds = self.timeout_seconds
        params = {"wait": "ACCEPTED", "timeout_seconds": f"{seconds:g}"}
        try:
            return self.send(
                method,
                path,
                body,
                params=params,
                headers=headers,
                timeout_seconds=seconds + GRACE_SECONDS,
            )
        except TimedOut as error:
            raise WaitTimedOut(f"not accepted within {seconds:g} s: {error}") from error

    def pages(self, path: str, member: str, params: Params | None = None) -> Iterator[Any]:
        """The items of all pages of a list."""
        after: str | None = None
        for _ in range(PAGES_MAX):
            page = self.get(path, {**(params or {}), "after": after})
            if not isinstance(page, dict) or not isinstance(page.get(member), list):
                raise AnswerNotUnderstood(f"{path} answers no list of {member}")
            yield from page[member]
            before, after = after, page.get("next")
            if after is None or after == before:
                return

    def close(self) -> None:
        """Close the connections that threads opened; the next request opens new ones."""
        if "http" in self.__dict__:
            self.http.close()

    async def close_async(self) -> None:
        """Close the connections of the running event loop."""
        if "http_async" in self.__dict__:
            await self.http_async.close()


def pairs(params: Params | None) -> tuple[tuple[str, str], ...]:
    """Query parameters one by one; those without a value are left out."""
    found: list[tuple[str, str]] = []
    for name, value in (params or {}).items():
        values = [value] if isinstance(value, str) else list(value or ())
        found += [(name, each) for each in values]
    return tuple(found)


def actor() -> str:
    """Who asks, as far as this machine knows; in ASCII, as headers are."""
    import getpass

    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = str(os.getuid())  # A container's user often has no name.
    return name.encode("ascii", "replace").decode()[:ACTOR_CHARACTERS_MAX]
