"""Grafana's annotations over HTTP: write one, find some; nothing else is asked of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import aiohttp

from schemas.errors import DomainError, TransientError
from services.annotations.marks import Mark

FOUND_MAX = 1_000
ERROR_CHARACTERS_MAX = 200
# It will never take this one; all else may pass, a token that is refused included.
_NEVER = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
}
_LOGIN = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}


class GrafanaAway(TransientError):
    """No answer, or none that says whether it was done."""


class GrafanaRefuses(DomainError):
    """It says for certain that it does not take this."""


class Grafana:
    """One Grafana, in the rights of one token."""

    def __init__(self, session: aiohttp.ClientSession, url: str, timeout_seconds: float) -> None:
        self._session = session
        self._address = f"{url.rstrip('/')}/api/annotations"
        self._timeout_seconds = timeout_seconds

    async def write(self, mark: Mark) -> None:
        """GrafanaAway leaves open whether it was written."""
        await self._ask("POST", json=mark.body())

    async def find(self, tags: Sequence[str], first_ms: int, last_ms: int) -> list[Any]:
        """The annotations with all of these tags between two moments, both included."""
        asked = [
            ("type", "annotation"),
            ("limit", str(FOUND_MAX)),
            ("from", str(first_ms)),
            ("to", str(last_ms)),
            *(("tags", tag) for tag in tags),
        ]
        found = await self._ask("GET", params=asked)
        if not isinstance(found, list):
            raise GrafanaAway("Grafana answered what is no list of annotations")
        return found

    async def _ask(self, method: str, **sent: Any) -> Any:
        try:
            async with (
                asyncio.timeout(self._timeout_seconds),
                self._session.request(
                    method, self._address, allow_redirects=False, **sent
                ) as answer,
            ):
                if answer.status != HTTPStatus.OK:
                    raise _complaint(answer.status, await answer.text())
                return await answer.json(content_type=None)
        except TimeoutError:
            raise GrafanaAway(f"Grafana did not answer in {self._timeout_seconds:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise GrafanaAway(f"Grafana is not reached: {error!r}"[:ERROR_CHARACTERS_MAX]) from None


def _complaint(status: int, body: str) -> GrafanaAway | GrafanaRefuses:
    said = f"Grafana answered {status}: {body[:ERROR_CHARACTERS_MAX]}"
    if status in _NEVER:
        return GrafanaRefuses(said)
    if status in _LOGIN:
        return GrafanaAway(f"Grafana refuses the token; it needs the role Editor ({said})")
    return GrafanaAway(said)
