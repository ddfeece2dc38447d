"""The same door for coroutines: one pool of connections for each event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from weakref import WeakKeyDictionary

import httpx2

from cellnode.http import NOT_SENT, must_fit, options_for, timeout_of, unreachable
from cellnode.http_asking import Answer, Ask, Tries, headers_of, user_agent


class AsyncHttp:
    """Requests to one server, from any event loop."""

    def __init__(self, url: str, headers: Mapping[str, str]) -> None:
        self.url = url.rstrip("/")
        self._headers = {"User-Agent": user_agent(), **headers}
        # Connections belong to the loop that opened them; a loop that is gone takes its own along.
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx2.AsyncClient] = (
            WeakKeyDictionary()
        )

    async def ask(self, ask: Ask) -> Answer:
        """The answer, problems too; ServerUnreachable if none comes in the request's time."""
        tries = Tries(ask, self.url)
        headers = headers_of(ask, self._headers)
        while True:
            try:
                answer = await self._once(ask, headers, tries)
                pause = tries.after_answer(answer)
                if pause is None:
                    return answer
            except httpx2.TransportError as error:
                pause = tries.after_failure(was_sent=not isinstance(error, NOT_SENT))
                if pause is None:
                    raise unreachable(error, tries, self.url) from error
            await asyncio.sleep(pause)

    async def close(self) -> None:
        """Close the connections of the running loop."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    async def _once(self, ask: Ask, headers: Mapping[str, str], tries: Tries) -> Answer:
        client = self._opened()
        request = client.build_request(
            ask.method,
            self.url + ask.path,
            params=list(ask.params) or None,
            headers=dict(headers),
            content=b"".join(ask.content()) if callable(ask.content) else ask.content,
            timeout=timeout_of(tries),
        )
        response = await client.send(request, stream=True)
        try:
            parts, size = [], 0
            async for part in response.aiter_bytes():
                parts.append(part)
                size += len(part)
                tries.must_not_be_over()
                must_fit(size, self.url)
        finally:
            await response.aclose()
        lower = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, lower, b"".join(parts))

    def _opened(self) -> httpx2.AsyncClient:
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            self._clients[loop] = httpx2.AsyncClient(**options_for(self.url))
        return self._clients[loop]
